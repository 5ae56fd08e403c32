//! Performance metrics, numbered in commit order.

use qv_entity::metric_sequence;
use qv_entity::performance_metrics::{ActiveModel, Column, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, Order, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};

use crate::domain::{Direction, MetricFilter, MetricId, MetricKey, MetricName, Page, PerformanceMetric, Slice, UserId};
use crate::store::{Error, Transaction};

/// Adds metrics in one statement, with new sequence numbers. `user_id` is the user who recorded them, or `None` for the
/// server itself.
///
/// The numbers come from one row, which stays locked until the transaction ends. So they become visible in order: a
/// reader that sees a number sees all lower ones.
pub async fn insert_many(
    tx: &Transaction,
    user_id: Option<UserId>,
    metrics: Vec<PerformanceMetric>,
) -> Result<(), Error> {
    let count = i64::try_from(metrics.len()).unwrap_or(i64::MAX);
    let last_sequence = metric_sequence::Column::LastSequence;
    let rows = metric_sequence::Entity::update_many()
        .col_expr(last_sequence, Expr::col(last_sequence).add(count))
        .exec_with_returning(tx.db())
        .await?;
    let row = rows.first().ok_or_else(|| DbErr::RecordNotFound("metric_sequence".to_owned()))?;
    let rows = (row.last_sequence - count + 1..).zip(metrics).map(|(sequence, metric)| ActiveModel {
        id: Set(metric.id.0),
        metric_name: Set(metric.name),
        metric_value: Set(metric.value),
        metric_unit: Set(metric.unit),
        metadata: Set(metric.metadata),
        created_at: Set(metric.created_at),
        user_id: Set(user_id.map(|id| id.0)),
        sequence: Set(sequence),
    });
    Entity::insert_many(rows).exec_without_returning(tx.db()).await?;
    Ok(())
}

/// Returns the latest visible sequence number.
pub async fn last_sequence(db: &impl ConnectionTrait) -> Result<i64, Error> {
    let row = metric_sequence::Entity::find().one(db).await?;
    Ok(row.ok_or_else(|| DbErr::RecordNotFound("metric_sequence".to_owned()))?.last_sequence)
}

/// Returns up to `limit` metrics after a sequence number, in order, each with its own number.
pub async fn find_after(
    db: &impl ConnectionTrait,
    sequence: i64,
    limit: u64,
) -> Result<Vec<(i64, PerformanceMetric)>, Error> {
    let select = Entity::find().filter(Column::Sequence.gt(sequence)).order_by_asc(Column::Sequence).limit(limit);
    Ok(select.all(db).await?.into_iter().map(|row| (row.sequence, metric(row))).collect())
}

/// Returns the metric with this id.
pub async fn find(db: &impl ConnectionTrait, id: MetricId) -> Result<Option<PerformanceMetric>, Error> {
    Ok(Entity::find_by_id(id.0).one(db).await?.map(metric))
}

/// Returns a page of the metrics that match a filter, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &MetricFilter,
    page: &Page<MetricKey>,
) -> Result<Slice<PerformanceMetric>, Error> {
    let place = || Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::Id)]);
    let order = if page.direction == Direction::Forward { Order::Desc } else { Order::Asc };
    let rows = Entity::find()
        .apply_if(filter.names.as_deref(), |select, names| {
            select.filter(Column::MetricName.is_in(names.iter().map(MetricName::as_str)))
        })
        .apply_if(filter.since, |select, since| select.filter(Column::CreatedAt.gte(since)))
        .apply_if(filter.until, |select, until| select.filter(Column::CreatedAt.lt(until)))
        .apply_if(page.after, |select, key| select.filter(place().lt(tuple(key))))
        .apply_if(page.before, |select, key| select.filter(place().gt(tuple(key))))
        .order_by(Column::CreatedAt, order.clone())
        .order_by(Column::Id, order)
        .limit(page.rows())
        .all(db)
        .await?;
    Ok(page.slice(rows.into_iter().map(metric).collect()))
}

fn tuple(key: MetricKey) -> SimpleExpr {
    Expr::tuple([Expr::val(key.created_at), Expr::val(key.id)])
}

fn metric(row: Model) -> PerformanceMetric {
    PerformanceMetric {
        id: MetricId(row.id),
        name: row.metric_name,
        value: row.metric_value,
        unit: row.metric_unit,
        metadata: row.metadata,
        created_at: row.created_at,
    }
}
