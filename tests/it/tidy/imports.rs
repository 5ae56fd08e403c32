//! Imports between the files of one module.

use std::collections::{HashMap, HashSet};

use super::source::{children, paths, untested};

/// Files that hold a part of each feature and are passed to use cases. Their imports close no circle.
const HOLDERS: [&str; 1] = ["service/context/backend"];

/// Path of a server module from the crate's root.
type Path<'a> = Vec<&'a str>;

/// Finds circles of files that import each other, each within one module of the crate.
///
/// A parent declares its children and re-exports their names, so imports between the two close no circle. Seen from
/// outside, the files of a folder count as one. Imports from a module's root, such as `crate::service::Backend`, are
/// not followed to the file that defines the name.
pub fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let graph = Graph::read(files);
    let mut imports: HashMap<_, _> =
        graph.modules.keys().map(|module| (module.clone(), graph.imports(module))).collect();
    let mut found = circles_of(&imports);
    // The second level alone: a folder imports everything that one of its files imports.
    let folders =
        imports.drain().map(|(from, to)| (second_level(&from), to)).fold(HashMap::new(), |mut all, (from, to)| {
            let named: &mut Vec<Path<'_>> = all.entry(from.clone()).or_default();
            named.extend(to.iter().map(second_level).filter(|to| to.len() == 2 && *to != from));
            all
        });
    found.extend(circles_of(&folders).into_iter().filter(|circle| !found.contains(circle)).collect::<Vec<_>>());
    found.into_iter().map(|circle| circle.into_iter().map(|module| module.join("/")).collect()).collect()
}

fn second_level<'a>(module: &Path<'a>) -> Path<'a> {
    module.iter().take(2).copied().collect()
}

fn circles_of<'a>(imports: &HashMap<Path<'a>, Vec<Path<'a>>>) -> Vec<Vec<Path<'a>>> {
    let mut names: Vec<_> = imports.keys().cloned().collect();
    names.sort();
    let (mut done, mut found) = (HashSet::new(), Vec::new());
    for module in &names {
        visit(module, imports, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

/// Follows imports. Reaching a module of the current path again closes a circle.
fn visit<'a>(
    module: &Path<'a>,
    imports: &HashMap<Path<'a>, Vec<Path<'a>>>,
    way: &mut Vec<Path<'a>>,
    done: &mut HashSet<Path<'a>>,
    found: &mut Vec<Vec<Path<'a>>>,
) {
    if let Some(start) = way.iter().position(|passed| passed == module) {
        found.push(way[start..].to_vec());
        return;
    }
    if done.contains(module) {
        return;
    }
    way.push(module.clone());
    for next in imports.get(module).into_iter().flatten() {
        visit(next, imports, way, done, found);
    }
    way.pop();
    done.insert(module.clone());
}

struct Graph<'a> {
    modules: HashMap<Path<'a>, Module<'a>>,
}

struct Module<'a> {
    code: &'a str,
    children: Vec<&'a str>,
}

impl<'a> Graph<'a> {
    fn read(files: &'a [(String, String)]) -> Self {
        let module = |(file, text): &'a (String, String)| {
            let code = untested(file, text);
            let file = file.trim_start_matches("api/src/");
            let path = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
            (path, Module { code, children: children(code) })
        };
        Self { modules: files.iter().map(module).collect() }
    }

    /// Returns the files in its own module that a file imports from, except its parents and children.
    fn imports(&self, from: &Path<'a>) -> Vec<Path<'a>> {
        if HOLDERS.contains(&from.join("/").as_str()) {
            return Vec::new();
        }
        let absolute = paths(self.modules[from].code).into_iter().filter_map(|path| self.absolute(from, &path));
        let mut found: Vec<_> = absolute.filter_map(|path| self.named(&path)).collect();
        found.retain(|target| target[0] == from[0] && !target.starts_with(from) && !from.starts_with(target));
        found.sort();
        found.dedup();
        found
    }

    /// Returns the path from the crate's root that a path in a module means.
    fn absolute(&self, from: &Path<'a>, path: &[&'a str]) -> Option<Path<'a>> {
        let ups = path.iter().take_while(|segment| **segment == "super").count();
        match path[0] {
            "crate" => Some(path[1..].to_vec()),
            "super" => Some([&from[..from.len().checked_sub(ups)?], &path[ups..]].concat()),
            "self" => Some([from, &path[1..]].concat()),
            child if self.modules[from].children.contains(&child) => Some([from, path].concat()),
            _ => None,
        }
    }

    /// Returns the innermost module that a path leads through.
    fn named(&self, path: &Path<'a>) -> Option<Path<'a>> {
        let length = (1..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        Some(path[..length].to_vec())
    }
}
