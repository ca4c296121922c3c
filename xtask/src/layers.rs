//! In every crate, a module imports only modules listed above it in `lib.rs`.

use crate::tidy::{sources, without_tests};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const CRATES: [&str; 4] = ["he-core", "he-nn", "he-lora", "targets/common"];

/// Every import that points downwards, one line each.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in CRATES {
        let source = root.join(name).join("src");
        let list = source.join("lib.rs");
        let list =
            fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
        let order = modules(&list);
        for path in sources(&source)? {
            let inside = path.strip_prefix(&source)?.with_extension("");
            let module = inside.iter().next().unwrap_or_default().to_string_lossy().into_owned();
            let Some(rank) = order.iter().position(|m| *m == module) else { continue };
            let text = fs::read_to_string(&path)?;
            for import in imports(without_tests(&text)) {
                if order.iter().position(|m| *m == import).is_some_and(|other| other > rank) {
                    problems.push(format!(
                        "{name}/src/{}.rs: uses `{import}`, which lib.rs lists below `{module}`",
                        inside.display()
                    ));
                }
            }
        }
    }
    Ok(problems)
}

/// The modules that `lib.rs` declares, in order.
fn modules(text: &str) -> Vec<String> {
    let declarations = text.lines().filter_map(|line| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    declarations.map(str::to_owned).collect()
}

/// First segments of all paths in `text` that begin at the crate's root.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for (at, marker) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + marker.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(heads_of_group(group));
        } else {
            found.push(word(rest));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The first word of each item in `{…}`, the opening brace already taken.
fn heads_of_group(text: &str) -> Vec<String> {
    let mut heads = vec![word(text.trim_start())];
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(word(text[at + 1..].trim_start())),
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_groups_of_imports_are_found_and_comments_are_not() {
        let text = "use crate::a::B;\n// crate::z\nuse crate::{b, c::{d, e}, f::G};\n\
                    fn x() { crate::g::h() } $crate::y::k";
        assert_eq!(imports(text), ["a", "b", "c", "f", "g"]);
    }

    #[test]
    fn modules_are_read_in_their_order_with_any_visibility() {
        assert_eq!(modules("mod a;\npub mod b;\n#[cfg(x)]\npub(crate) mod c;\n"), ["a", "b", "c"]);
    }
}
