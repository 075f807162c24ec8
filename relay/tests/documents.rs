//! The documents: what they point at is there, and each is found from the README.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What a document links to, without what is on the web.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// What a document links to in the repository by its address on the web, as the files of the package do: paths from the root.
fn links_by_address(text: &str) -> Vec<&str> {
    let addresses = text.split("https://github.com/voxrelay/voxrelay/").skip(1);
    let pages =
        addresses.filter_map(|rest| rest.strip_prefix("blob/main/").or(rest.strip_prefix("tree/main/")));
    pages.filter_map(|rest| rest.split([')', '"', ' ', '\n']).next()).collect()
}

/// The name that a heading is linked by: GitHub's own rule.
fn anchor(heading: &str) -> String {
    let kept = |char: &char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_');
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(kept).map(|char| if char == ' ' { '-' } else { char }).collect()
}

#[test]
fn the_readme_links_every_page_of_the_docs() {
    let readme = read(&root().join("README.md"));
    let read_on = readme.split("## Read on").nth(1).expect("its last chapter");
    for page in documents_in("docs") {
        let name = page.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(
            links(read_on).contains(&format!("docs/{name}").as_str()),
            "docs/{name} is not in \"Read on\""
        );
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let folders = [".", "docs", "docs/decisions", "docs/migrating", "npm"];
    let documents = folders.into_iter().flat_map(documents_in).chain([root().join("npm/llms.txt")]);
    for document in documents {
        let (text, folder) = (read(&document), document.parent().expect("a folder"));
        let beside = links(&text).into_iter().map(|link| (folder, link));
        let by_address: Vec<_> = links_by_address(&text).into_iter().map(|link| (root(), link)).collect();
        for (folder, link) in beside.chain(by_address) {
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { folder.join(path) };
            assert!(target.exists(), "{}: {link} is not there", document.display());
            let is_there =
                || read(&target).lines().any(|line| line.starts_with('#') && anchor(line) == place);
            assert!(place.is_empty() || is_there(), "{}: there is no heading {link}", document.display());
        }
    }
}

/// The chapters of the page of the HTTP API, by method and path.
fn routes_of_the_page() -> BTreeMap<String, String> {
    let page = read(&root().join("docs/api.md"));
    let chapters = page.split("\n### ").skip(1);
    let chapters = chapters.map(|chapter| chapter.split("\n## ").next().unwrap_or(chapter));
    let routes = chapters.map(|chapter| chapter.split_once('\n').expect("a heading and a text"));
    routes.map(|(route, text)| (route.to_owned(), text.to_owned())).collect()
}

#[test]
fn the_page_of_the_api_has_every_route_with_its_parameters_and_an_example_and_no_other() {
    let page = routes_of_the_page();
    let document = serde_json::to_value(relay::server::openapi()).expect("JSON");
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let route = format!("{} {path}", method.to_uppercase());
            let text = page.get(&route).unwrap_or_else(|| panic!("docs/api.md has no {route}"));
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            // What every write takes is said once, for all of them.
            let asked = parameters
                .iter()
                .filter(|parameter| parameter["in"] != "path" && parameter["name"] != "idempotency-key");
            for name in asked.filter_map(|parameter| parameter["name"].as_str()) {
                assert!(text.contains(&format!("`{name}`")), "{route}: `{name}`");
            }
            // The first example is of the same address, with something in the place of its parameters.
            let mut words = path.split('/').filter(|part| !part.starts_with('{'));
            let example = text.lines().find(|line| line.starts_with("curl ")).expect("an example");
            assert!(words.all(|word| example.contains(word)), "{route}: {example}");
            routes.insert(route);
        }
    }
    let others: Vec<_> = page.keys().filter(|route| !routes.contains(*route)).collect();
    assert!(others.is_empty(), "the relay has no {others:?}");
}

/// The unit as it is shipped, but with the relay of this build. Where there is no systemd nothing can be said.
#[test]
fn the_systemd_unit_is_one() {
    let unit = read(&root().join("deploy/voxrelay.service"));
    let program = "/usr/local/bin/voxrelay";
    assert_eq!(unit.matches(program).count(), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("voxrelay.service");
    fs::write(&path, unit.replace(program, env!("CARGO_BIN_EXE_voxrelay"))).expect("written");
    let verify = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output();
    let Ok(output) = verify else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("voxrelay")).collect();
    assert!(output.status.success() && of_ours.is_empty(), "{said}");
}

/// Rooms of the repository, and what in them is made by a build.
const ROOMS: [&str; 11] = [
    "audio/",
    "deploy/",
    "docs/",
    "examples/",
    "fuzz/",
    "npm/",
    "protocol/",
    "relay/",
    "sdk-wasm/",
    "simulation/",
    "voice-wasm/",
];
const MADE: [&str; 2] = ["npm/dist", "relay/target"];

#[test]
fn every_file_and_folder_that_a_document_names_is_there() {
    let others = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let (mut missing, mut found) = (Vec::new(), 0);
    for page in documents_in("docs").into_iter().chain(others) {
        let text = read(&page);
        let is_path = |word: &&str| {
            ROOMS.iter().any(|room| word.starts_with(room))
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
                && !MADE.iter().any(|made| word.starts_with(made))
        };
        for word in text.split('`').filter(is_path) {
            found += 1;
            if !root().join(word).exists() {
                missing.push(format!("{}: {word}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(found > 30, "{found} are read");
}
