//! Reads the selection of an object type: follows fragments, merges fields of one response key, reads arguments.

use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::{Context, ContextSelectionSet, Positioned, ServerResult};

use crate::domain::PageArguments;
use crate::engine::object::field::JsonObject;
use crate::engine::object::selected::{SelectedField, SelectedFields};

/// Returns the fields of `T` that these selection sets select. Validation has checked that `T` has them.
pub(super) fn select<'a, T: JsonObject>(
    ctx: &ContextSelectionSet<'a>,
    sets: &[&'a SelectionSet],
) -> SelectedFields<'a> {
    let mut asked = Vec::new();
    for set in sets {
        gather::<T>(ctx, set, &mut asked);
    }
    SelectedFields(asked.into_iter().filter_map(|places| selected::<T>(ctx, &places)).collect())
}

/// Returns the selection of a single field.
pub(super) fn select_field<'a, T: JsonObject>(ctx: &Context<'a>) -> Option<SelectedField<'a>> {
    selected::<T>(&ctx.with_selection_set(&ctx.item.node.selection_set), &[ctx.item])
}

/// Collects fields by response key, each with all its selections.
fn gather<'a, T: JsonObject>(
    ctx: &ContextSelectionSet<'a>,
    set: &'a SelectionSet,
    asked: &mut Vec<Vec<&'a Positioned<Field>>>,
) {
    let applies = |condition: &str| {
        let interfaces = ctx.schema_env.registry.implements.get(T::NAME);
        condition == T::NAME || interfaces.is_some_and(|interfaces| interfaces.contains(condition))
    };
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                let key = &field.node.response_key().node;
                match asked.iter_mut().find(|same| same[0].node.response_key().node == *key) {
                    Some(same) => same.push(field),
                    None => asked.push(vec![field]),
                }
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                if condition.is_none_or(|condition| applies(&condition.node.on.node)) {
                    gather::<T>(ctx, &fragment.node.selection_set.node, asked);
                }
            }
            Selection::FragmentSpread(spread) => {
                let fragment = ctx.query_env.fragments.get(&spread.node.fragment_name.node);
                if let Some(fragment) = fragment
                    && applies(&fragment.node.type_condition.node.on.node)
                {
                    gather::<T>(ctx, &fragment.node.selection_set.node, asked);
                }
            }
        }
    }
}

fn selected<'a, T: JsonObject>(
    ctx: &ContextSelectionSet<'a>,
    places: &[&'a Positioned<Field>],
) -> Option<SelectedField<'a>> {
    let asked = *places.first()?;
    let name = asked.node.name.node.as_str();
    if name == "__typename" {
        return Some(SelectedField {
            asked,
            index: None,
            is_constant: true,
            below: SelectedFields::default(),
            page: None,
        });
    }
    let index = T::FIELDS.iter().position(|field| field.name == name)?;
    let field = &T::FIELDS[index];
    let below = field.select_below.map_or_else(SelectedFields::default, |select| {
        let sets: Vec<_> = places.iter().map(|field| &field.node.selection_set.node).collect();
        select(ctx, &sets)
    });
    let page = field.page.map(|_| arguments(&ctx.with_field(asked)));
    Some(SelectedField { asked, index: Some(index), is_constant: field.is_constant, below, page })
}

fn arguments(ctx: &Context<'_>) -> ServerResult<PageArguments> {
    Ok(PageArguments {
        first: ctx.param_value("first", None)?.1,
        after: ctx.param_value("after", None)?.1,
        last: ctx.param_value("last", None)?.1,
        before: ctx.param_value("before", None)?.1,
    })
}
