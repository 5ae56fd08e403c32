//! What a selection asks of a type: fragments followed, fields of one response key put together, arguments read.

use async_graphql::{
    Context, ContextSelectionSet, Positioned, ServerResult,
    parser::types::{Field as Asked, Selection, SelectionSet},
};

use crate::{domain::PageArguments, engine::object::JsonObject};

/// Reads what selections ask of one type.
pub(crate) type Compile = for<'a> fn(&ContextSelectionSet<'a>, &[&'a SelectionSet]) -> SelectedFields<'a>;

/// The fields to write of an object, in the order of the answer.
#[derive(Default)]
pub(crate) struct SelectedFields<'a>(pub(crate) Vec<SelectedField<'a>>);

/// One field to write.
pub(crate) struct SelectedField<'a> {
    pub(crate) asked: &'a Positioned<Asked>,
    /// Its place in the type's table; none for `__typename`.
    pub(crate) place: Option<usize>,
    /// What is asked of the objects below it.
    pub(crate) below: SelectedFields<'a>,
    /// The arguments of a list.
    page: Option<ServerResult<PageArguments>>,
}

/// What these selections ask of `T`, which validation has found to have all of it.
pub(crate) fn plan<'a, T: JsonObject>(ctx: &ContextSelectionSet<'a>, sets: &[&'a SelectionSet]) -> SelectedFields<'a> {
    let mut asked = Vec::new();
    for set in sets {
        gather::<T>(ctx, set, &mut asked);
    }
    SelectedFields(asked.into_iter().filter_map(|asked| entry::<T>(ctx, &asked)).collect())
}

impl SelectedFields<'_> {
    /// What is asked of the objects below.
    pub(crate) fn below(&self) -> impl Iterator<Item = &SelectedFields<'_>> {
        self.0.iter().map(|entry| &entry.below)
    }

    /// Whether it asks for none but these fields.
    pub(crate) fn is_within(&self, fields: &[&str]) -> bool {
        self.0.iter().all(|entry| fields.contains(&entry.asked.node.name.node.as_str()))
    }

    /// Says what it asks for, all but the arguments of lists.
    pub(crate) fn spell(&self, out: &mut String) {
        for entry in &self.0 {
            for part in [entry.key(), ":", &entry.asked.node.name.node, "{"] {
                out.push_str(part);
            }
            entry.below.spell(out);
            out.push('}');
        }
    }
}

impl<'a> SelectedField<'a> {
    /// The entry of a single field.
    pub(crate) fn of<T: JsonObject>(ctx: &Context<'a>) -> Option<Self> {
        entry::<T>(&ctx.with_selection_set(&ctx.item.node.selection_set), &[ctx.item])
    }

    /// The name it has in the answer.
    pub(crate) fn key(&self) -> &'a str {
        &self.asked.node.response_key().node
    }

    /// Whether any of these fields is asked for below it.
    pub(crate) fn asks_for(&self, fields: &[&str]) -> bool {
        self.below.0.iter().any(|entry| fields.contains(&entry.asked.node.name.node.as_str()))
    }

    /// The arguments of a list.
    pub(crate) fn page(&self) -> ServerResult<&PageArguments> {
        const NONE: PageArguments = PageArguments { first: None, after: None, last: None, before: None };
        self.page.as_ref().map_or(Ok(&NONE), |page| page.as_ref().map_err(Clone::clone))
    }
}

/// Fields by their response keys, each with all the places it is asked for at.
fn gather<'a, T: JsonObject>(
    ctx: &ContextSelectionSet<'a>,
    set: &'a SelectionSet,
    asked: &mut Vec<Vec<&'a Positioned<Asked>>>,
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

fn entry<'a, T: JsonObject>(
    ctx: &ContextSelectionSet<'a>,
    same: &[&'a Positioned<Asked>],
) -> Option<SelectedField<'a>> {
    let asked = *same.first()?;
    let name = asked.node.name.node.as_str();
    if name == "__typename" {
        return Some(SelectedField { asked, place: None, below: SelectedFields::default(), page: None });
    }
    let place = T::FIELDS.iter().position(|field| field.name == name)?;
    let field = &T::FIELDS[place];
    let below = field.below.map_or_else(SelectedFields::default, |compile| {
        let sets: Vec<_> = same.iter().map(|field| &field.node.selection_set.node).collect();
        compile(ctx, &sets)
    });
    let page = field.page.map(|_| arguments(&ctx.with_field(asked)));
    Some(SelectedField { asked, place: Some(place), below, page })
}

fn arguments(ctx: &Context<'_>) -> ServerResult<PageArguments> {
    Ok(PageArguments {
        first: ctx.param_value("first", None)?.1,
        after: ctx.param_value("after", None)?.1,
        last: ctx.param_value("last", None)?.1,
        before: ctx.param_value("before", None)?.1,
    })
}
