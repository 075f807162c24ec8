//! `voxrelay keys`.

use super::*;

#[test]
fn a_key_is_made_listed_and_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let url = format!("http://{}", relay.address);
    let (output, errors) =
        run(voxrelay(folder.path()).args(["token", "--sub", "root", "--role", "voxrelay_admin"]));
    assert!(output.status.success(), "{errors}");
    let admin = String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned();
    let keys = |token: &str, what: &str, more: &[&str]| {
        let mut command = voxrelay(folder.path());
        command.args(["keys", what, &url]).args(more).env("VOXRELAY_TOKEN", token);
        let (output, errors) = run(&mut command);
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    let billing = ["--name", "billing", "--role", "admin", "--expires", "90d"];
    let (code, said, errors) = keys(&admin, "create", &billing);
    assert_eq!(code, Some(0), "{errors}");
    let key = said.trim_end();
    assert!(key.starts_with("vxr_") && key.len() == 47 && !errors.contains("vxr_"), "{said}{errors}");
    let id = errors.split("has the id ").nth(1).and_then(|rest| rest.split(';').next()).expect("an id");
    // With the key itself.
    let (code, said, errors) = keys(key, "list", &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with(id) && lines[1].contains("  billing  admin"), "{said}");
    assert!(!said.contains("vxr_"), "{said}");
    let (code, _, errors) = keys(&admin, "create", &billing);
    assert!(code == Some(1) && errors.contains("answered 409: key_name_in_use: "), "{errors}");
    let (code, said, _) = keys(&admin, "revoke", &[id]);
    assert_eq!((code, said), (Some(0), format!("{id} is revoked\n")));
    let (code, _, errors) = keys(key, "list", &[]);
    assert!(code == Some(1) && errors.contains("answered 401: unauthorized: "), "{errors}");
    let (code, _, errors) = keys(&admin, "revoke", &["../sessions/a"]);
    assert!(code == Some(2) && errors.contains("letters, digits"), "{errors}");
}
