use std::fs;
use std::path::Path;

/// A relay goes on while a newer one migrates: what it has prepared must not change by that.
#[test]
fn no_statement_reads_columns_that_it_does_not_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/records/store/sql");
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("tests.rs") {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path).expect("a source file");
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let (before, star) =
                (pair[0].trim_start_matches(['"', '(']), pair[1].trim_end_matches(['"', ',']));
            let is_all = star == "*" || star.ends_with(".*");
            let reads = ["SELECT", "RETURNING", "DISTINCT"].contains(&before) || star.ends_with(".*");
            assert!(!(is_all && reads), "{}: {before} {star}", path.display());
        }
    }
    assert!(files > 20, "{files} files were read");
}
