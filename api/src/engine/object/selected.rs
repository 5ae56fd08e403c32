//! Fields that an operation selects of an object.

use std::fmt::Write;

use async_graphql::{Positioned, ServerResult, parser::types::Field};

use crate::domain::PageArguments;

/// Selected fields of an object, in the order of the answer.
#[derive(Default)]
pub struct SelectedFields<'a>(pub(super) Vec<SelectedField<'a>>);

/// One selected field.
pub struct SelectedField<'a> {
    pub(super) asked: &'a Positioned<Field>,
    /// The index into the type's table; `None` for `__typename`.
    pub(super) index: Option<usize>,
    /// Whether the field never changes for one object. The fields below have flags of their own.
    pub(super) is_constant: bool,
    /// The fields of the objects below.
    pub(crate) below: SelectedFields<'a>,
    /// The arguments of a list.
    pub(super) page: Option<ServerResult<PageArguments>>,
}

impl SelectedFields<'_> {
    /// Iterates over the selections below these fields.
    pub(crate) fn below(&self) -> impl Iterator<Item = &SelectedFields<'_>> {
        self.0.iter().map(|field| &field.below)
    }

    /// Whether neither these fields nor any field below can change.
    pub(crate) fn are_constant(&self) -> bool {
        self.0.iter().all(|field| field.is_constant && field.below.are_constant())
    }

    /// Writes the selection as text, to compare selections. Fails if an argument cannot be read.
    pub(super) fn describe(&self, out: &mut String) -> Result<(), ()> {
        for field in &self.0 {
            for part in [field.key(), ":", &field.asked.node.name.node] {
                out.push_str(part);
            }
            if let Some(page) = &field.page {
                let PageArguments { first, after, last, before } = page.as_ref().map_err(drop)?;
                // Writing to a string cannot fail.
                let _ = write!(out, "({first:?} {after:?} {last:?} {before:?})");
            }
            out.push('{');
            field.below.describe(out)?;
            out.push('}');
        }
        Ok(())
    }
}

impl<'a> SelectedField<'a> {
    /// Returns the field's response key.
    pub(super) fn key(&self) -> &'a str {
        &self.asked.node.response_key().node
    }

    /// Whether any of these fields is selected below.
    pub(crate) fn selects_any(&self, fields: &[&str]) -> bool {
        self.below.0.iter().any(|field| fields.contains(&field.asked.node.name.node.as_str()))
    }

    /// Returns the arguments of a list.
    pub(crate) fn page(&self) -> ServerResult<&PageArguments> {
        const NONE: PageArguments = PageArguments { first: None, after: None, last: None, before: None };
        self.page.as_ref().map_or(Ok(&NONE), |page| page.as_ref().map_err(Clone::clone))
    }
}
