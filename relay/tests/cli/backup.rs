//! What the runbook has an operator copy beside the database, and put back.

use relay::records::spill::Spill;
use relay::records::store::{NewSession, Quality, unix_ms};
use sqlx::{AnyConnection, Connection};

use super::moving::{copy_database, file};
use super::*;

/// The parts of a recording: one in its place, and one that is on its way there.
const PARTS: [&str; 2] = ["2026/11/28/a.wav", "2026/11/28/a.1.wav"];

/// A folder with what a relay leaves that is killed while its database is away: a session, a turn that is owed, and a recording with this sound in
/// its parts.
async fn left(sounds: [&[u8]; 2]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqlStore::sqlite(&file(folder.path())).await.expect("opened");
    let recorded = NewSession { recording: Some(PARTS.join(" ")), ..session("a") };
    open(&store, &recorded, &quota()).await;
    store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.expect("written");
    Store::close(&store).await;

    let data = folder.path().join("voxrelay-data");
    drop(Spill::open(&data).await.expect("made"));
    let turn = serde_json::json!({ "turn": 0, "role": "user", "text": "A word that was owed.", "start": 0, "end": 1, "heard": null,
        "stt_ms": null, "llm_ms": null, "tts_ms": null, "total_ms": null });
    let entry = serde_json::json!({ "type": "turns", "turns": [turn], "seq": 0, "position": 0 });
    let spill = format!("sqlite://{}", data.join("spill.db").display());
    let mut spill = AnyConnection::connect(&spill).await.expect("it is there");
    sqlx::raw_sql("PRAGMA busy_timeout = 5000").execute(&mut spill).await.expect("set");
    let owe = sqlx::query("INSERT INTO owed (session_id, epoch, entry) VALUES ('a', 0, $1)");
    owe.bind(entry.to_string()).execute(&mut spill).await.expect("left");
    spill.close().await.expect("closed");

    let on_its_way = data.join("recordings-on-their-way").join(PARTS[1].replace('/', "_"));
    for (path, sound) in [folder.path().join("recordings").join(PARTS[0]), on_its_way].iter().zip(sounds) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, [&[0xff; 44][..], sound].concat()).expect("written");
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_what_was_owed_and_of_recordings_is_written_and_played_in_its_place() {
    let sounds = [vec![0x11_u8; 3_200], vec![0x22; 6_400]];
    let folder = left([&sounds[0], &sounds[1]]).await;
    let new = tempfile::tempdir().expect("a folder");
    let [from, to] = [folder.path(), new.path()].map(|folder| folder.join("voxrelay-data"));
    std::fs::create_dir(&to).expect("made");
    for name in [DATABASE_FILE, "spill.db"] {
        copy_database(&from.join(name), &to.join(name)).await;
    }
    for name in ["recordings", "voxrelay-data/recordings-on-their-way"] {
        let paths = [folder.path().join(name), new.path().join(name)];
        assert!(Command::new("cp").arg("-R").args(paths).status().expect("it runs").success(), "{name}");
    }
    drop(folder);

    let mut command = voxrelay(new.path());
    command.args(["dev", "--listen", "127.0.0.1:0"]);
    command.env("VOXRELAY_RECORDING__DIR", "recordings").env("VOXRELAY_RECORDING__MIN_FREE_MB", "0");
    let relay = Running::start(&mut command);
    let (output, errors) = run(voxrelay(new.path()).args(["token", "--sub", "ada"]));
    assert!(output.status.success(), "{errors}");
    let token = String::from_utf8(output.stdout).expect("UTF-8");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&relay.address).expect("connected");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            relay.address,
            token.trim()
        )
        .expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        answer
    };
    let transcript = String::from_utf8(get("/v1/sessions/a/transcript")).expect("UTF-8");
    assert!(transcript.contains("A word that was owed."), "{transcript}");
    let (whole, deadline) = (sounds.concat(), Instant::now() + Duration::from_secs(30));
    while !get("/v1/sessions/a/recording").ends_with(&whole) {
        assert!(Instant::now() < deadline, "what was on its way comes to its place");
        std::thread::sleep(Duration::from_millis(500));
    }
}
