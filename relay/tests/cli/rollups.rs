//! `voxrelay rollups`.

use relay::records::store::{OverviewFilter, Quality, unix_ms};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_of_ended_sessions_are_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let store = SqlStore::sqlite(&file).await.expect("opened");
    for id in ["a", "b"] {
        open(&store, &session(id), &quota()).await;
        Store::end_session(&store, id, 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    }
    Store::close(&store).await;
    let rebuild = |arguments: &[&str]| {
        let mut command = voxrelay(folder.path());
        command.arg("rollups").args(arguments).env("VOXRELAY_AUTH__HS256_SECRET", "x".repeat(40));
        let (output, errors) = run(&mut command);
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    for _ in 0..2 {
        let (code, said, errors) = rebuild(&["--rebuild"]);
        assert_eq!((code, said.as_str()), (Some(0), "added up 2 sessions\n"), "{errors}");
    }
    let wrong_ones: [&[&str]; 2] = [&[], &["--rebuild", "--resume"]];
    for wrong in wrong_ones {
        let (code, _, errors) = rebuild(wrong);
        assert!(code == Some(2) && errors.contains("--rebuild"), "{errors}");
    }
    let store = SqlStore::sqlite(&file).await.expect("opened");
    // One that was broken off before anything was deleted.
    Store::roll_up_anew(&store).await.expect("asked for");
    Store::close(&store).await;
    for (added, left) in [("2 sessions", "those that were there"), ("0 sessions", "nothing")] {
        let (code, said, errors) = rebuild(&["--resume"]);
        assert_eq!((code, said), (Some(0), format!("added up {added}\n")), "{left}: {errors}");
    }
    let store = SqlStore::sqlite(&file).await.expect("opened");
    let step_ms = 86_400_000;
    let all = OverviewFilter { from_ms: 0, to_ms: i64::MAX, step_ms, account: None, agent: None };
    let found = Store::overview(&store, &all).await.expect("read");
    assert_eq!(found.calls.iter().map(|sum| sum.calls).sum::<u64>(), 2);
    // A relay that runs has the file.
    Store::close(&store).await;
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let (code, _, errors) = rebuild(&["--rebuild"]);
    assert!(code == Some(1) && errors.contains(&relay.address), "{errors}");
}
