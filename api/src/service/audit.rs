//! The audit trail: owners see the entries of their accounts, operators see all.

use crate::domain::{AuditFilter, AuditLog, AuditLogId, PageArguments};
use crate::service::{Admin, Connection, Error, RequestContext};
use crate::store;

/// Returns the entries of the caller's own account, newest first. They include operators' actions on it.
pub async fn own(context: &RequestContext, arguments: &PageArguments) -> Result<Connection<AuditLog>, Error> {
    let filter = AuditFilter { user_id: Some(context.viewer()?.user_id), ..AuditFilter::default() };
    read(context, &filter, arguments).await
}

/// Returns the entries that match a filter, newest first.
pub async fn list(
    admin: Admin<'_>,
    filter: &AuditFilter,
    arguments: &PageArguments,
) -> Result<Connection<AuditLog>, Error> {
    read(&admin, filter, arguments).await
}

/// Finds one entry, if the caller may see it.
pub async fn find(context: &RequestContext, id: AuditLogId) -> Result<Option<AuditLog>, Error> {
    let viewer = context.viewer()?.user_id;
    let entry = store::audit_logs::find(context.backend.store.db(), id).await?;
    Ok(entry.filter(|entry| entry.user_id == Some(viewer) || context.admin().is_ok()))
}

async fn read(
    context: &RequestContext,
    filter: &AuditFilter,
    arguments: &PageArguments,
) -> Result<Connection<AuditLog>, Error> {
    let page = context.page("audit logs", arguments)?;
    let slice = store::audit_logs::list(context.backend.store.db(), filter, &page).await?;
    Ok(Connection::of("audit logs", slice, |entry| entry.id.0))
}
