//! The JavaScript that the documents show, as files that the TypeScript compiler can check against the package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::workspace;

/// What the documents take for granted: the reader's own functions and buttons.
const AROUND: &str = "tests/snippets.d.ts";

/// Writes a module for each snippet, and a project of them. Says where the project is, and how many they are.
pub(super) fn write() -> Result<(PathBuf, u32)> {
    let folder = workspace::target().join("snippets");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut documents = ["README.md", "npm/README.md", "npm/llms.txt"].map(workspace::path).to_vec();
    find_documents(&workspace::path("docs"), &mut documents)?;
    let mut count = 0;
    for document in documents {
        let text = fs::read_to_string(&document)?;
        let name = document.strip_prefix(workspace::root()).unwrap_or(&document).to_string_lossy();
        let name = name.replace(['/', '\\', '.'], "-");
        for (line, code) in snippets(&text) {
            // The empty lines make the compiler speak of the document's own lines.
            let module = format!("{}{code}\nexport {{}};\n", "\n".repeat(line));
            let extension = if code.contains("</") { "tsx" } else { "ts" };
            fs::write(folder.join(format!("{name}.{line}.{extension}")), module)?;
            count += 1;
        }
    }
    ensure!(count > 0, "there is no JavaScript in the documents: has the way to find it gone wrong?");
    let project = json!({
        "extends": workspace::path("npm/tsconfig.json"),
        "compilerOptions": {
            "noImplicitAny": false,
            "noUnusedLocals": false,
            "jsx": "react-jsx",
            "paths": {
                "voxrelay": [workspace::path("npm/src/index.ts")],
                "voxrelay/react": [workspace::path("npm/src/react.ts")],
                "voxrelay/element": [workspace::path("npm/src/element.ts")],
            },
        },
        "include": ["*.ts", "*.tsx", workspace::path(AROUND)],
    });
    let file = folder.join("tsconfig.json");
    fs::write(&file, project.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok((file, count))
}

fn find_documents(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_documents(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    Ok(())
}

/// Each snippet of a document with the number of lines before it: blocks of JavaScript and TypeScript, and scripts in blocks of HTML.
fn snippets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut language = None;
    let mut code = String::new();
    let mut begin = 0;
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (language, fence) {
            (None, Some(info)) => {
                language = Some(info.split_whitespace().next().unwrap_or_default());
                begin = number + 1;
                code.clear();
            }
            (Some(was), Some(_)) => {
                match was {
                    "js" | "jsx" | "javascript" | "mjs" | "ts" | "tsx" | "typescript" => {
                        found.push((begin, code.clone()));
                    }
                    "html" => found.push((begin, scripts(&code))),
                    _ => {}
                }
                language = None;
            }
            (Some(_), None) => code.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    found
}

/// What stands in the scripts of a page; all else becomes empty lines.
fn scripts(page: &str) -> String {
    let mut inside = false;
    let mut code = String::new();
    for line in page.lines() {
        match (inside, line.trim()) {
            (false, tag) if tag.starts_with("<script") && !tag.ends_with("</script>") => inside = true,
            (true, "</script>") => inside = false,
            (true, _) => code.push_str(line),
            (false, _) => {}
        }
        code.push('\n');
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_would_copy_is_found_with_its_line() {
        let text = "# A\n```js\nfirst();\n```\n```sh\nnot this\n```\n- item\n  ```ts\n  second();\n  ```\n```html\n<script src=\"x\"></script>\n<script type=\"module\">\n  third();\n</script>\n<p>no</p>\n```\n";
        let found = snippets(text);
        assert_eq!(found[0], (2, "first();\n".to_owned()));
        assert_eq!(found[1], (9, "  second();\n".to_owned()));
        assert_eq!(found[2], (12, "\n\n  third();\n\n\n".to_owned()));
        assert_eq!(found.len(), 3);
    }
}
