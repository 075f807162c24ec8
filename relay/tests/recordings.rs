//! Recordings on their way to a bucket and to a folder, and back.

#[path = "support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;
#[path = "support/s3.rs"]
mod s3;

use std::fs::File;
use std::ops;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use relay::config::RecordingPlace;
use relay::records::recording::{RecordingError, Recordings, key};
use relay::records::store::{DeliveryFilter, HookEvent, NewSession, SqlStore, Store, Subscription, unix_ms};
use tempfile::TempDir;

/// What a relay with recordings has.
struct Bench {
    dir: TempDir,
    store: SqlStore,
    recordings: Recordings,
}

impl Bench {
    async fn new(place: impl FnOnce(&Path) -> (RecordingPlace, Vec<(String, String)>)) -> Bench {
        let dir = tempfile::tempdir().expect("a folder");
        let (place, variables) = place(dir.path());
        Bench {
            store: SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("a store"),
            recordings: Recordings::new(&place, dir.path(), 0, variables).expect("a good place"),
            dir,
        }
    }

    async fn in_a_folder() -> Bench {
        Bench::new(|dir| (RecordingPlace::Folder(dir.join("rec")), Vec::new())).await
    }

    async fn in_a_bucket(bucket: &s3::Bucket) -> Bench {
        let place = RecordingPlace::Bucket("s3://calls/of/ours".parse().expect("a URL"));
        Bench::new(|_| (place, bucket.variables())).await
    }

    /// A session that names these recordings.
    async fn session(&self, id: &str, recording: &str) {
        let recording = Some(recording.into());
        records::open(&self.store, &NewSession { recording, ..records::session(id) }, &records::quota())
            .await;
    }

    /// What a relay that was killed has left of a recording: no lengths in the head, and half a frame at the end.
    fn leave(&self, key: &str, frames: usize) -> Vec<u8> {
        let audio: Vec<u8> = (0..frames * 4).map(|i| (i % 251) as u8).collect();
        let mut file = vec![0xff; 44];
        file.extend(&audio);
        file.extend([1, 2]);
        std::fs::write(self.spooled(key), file).expect("written");
        audio
    }

    fn spooled(&self, key: &str) -> PathBuf {
        self.dir.path().join("recordings-on-their-way").join(key.replace('/', "_"))
    }

    async fn carry(&self) -> u32 {
        self.recordings.carry_left(&self.store).await.expect("the folder is there")
    }

    async fn read(&self, recording: &str) -> Result<Vec<u8>, RecordingError> {
        let playback = self.recordings.open(recording).await?;
        let length = playback.length();
        let bytes = self.read_range(recording, 0..length).await?;
        assert_eq!(bytes.len() as u64, length);
        Ok(bytes)
    }

    async fn read_range(&self, recording: &str, range: ops::Range<u64>) -> Result<Vec<u8>, RecordingError> {
        let pieces: Vec<_> = self.recordings.open(recording).await?.read(range).try_collect().await?;
        Ok(pieces.concat())
    }
}

fn samples(wav: &[u8]) -> Vec<i16> {
    let reader = hound::WavReader::new(wav).expect("a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 16_000));
    reader.into_samples().map(|sample| sample.expect("whole")).collect()
}

fn words(audio: &[u8]) -> Vec<i16> {
    audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[tokio::test]
async fn what_a_killed_relay_left_is_finished_and_sent_to_the_bucket_in_parts() {
    let bucket = s3::Bucket::start().await;
    let bench = Bench::in_a_bucket(&bucket).await;
    let key = key("0192-a", 0, unix_ms());
    bench.session("0192-a", &key).await;
    // 20 MB: three parts.
    let audio = bench.leave(&key, 5_000_000);
    assert_eq!(bench.carry().await, 1);
    assert_eq!(bucket.uploads(), (1, 0));
    let object = bucket.object(&format!("of/ours/{key}")).expect("it is there");
    assert_eq!(object.len(), 44 + audio.len());
    assert_eq!(samples(&object), words(&audio));
    assert!(!bench.spooled(&key).exists());

    assert_eq!(bench.read(&key).await.expect("readable"), object);
    bench.recordings.delete(&key).await.expect("deleted");
    assert_eq!(bucket.object(&format!("of/ours/{key}")), None);
    bench.recordings.delete(&key).await.expect("as often as one likes");
    assert!(matches!(bench.read(&key).await, Err(RecordingError::NotFound)));
}

#[tokio::test]
async fn a_bucket_that_cannot_be_reached_costs_nothing_but_time() {
    let bucket = s3::Bucket::start().await;
    let bench = Bench::in_a_bucket(&bucket).await;
    let key = key("0192-a", 0, unix_ms());
    bench.session("0192-a", &key).await;
    let audio = bench.leave(&key, 1_000);
    bucket.close(true);
    assert_eq!(bench.carry().await, 0);
    assert!(bench.spooled(&key).exists());
    assert!(matches!(bench.recordings.open(&key).await, Err(RecordingError::Store(_))));
    assert!(bench.recordings.delete("2026/01/01/another.wav").await.is_err(), "to be tried again");
    bucket.close(false);
    assert_eq!(bench.carry().await, 1);
    assert_eq!(samples(&bench.read(&key).await.expect("readable")), words(&audio));
}

#[tokio::test]
async fn webhooks_hear_of_each_part_of_a_recording_when_it_is_in_its_place() {
    let bucket = s3::Bucket::start().await;
    let bench = Bench::in_a_bucket(&bucket).await;
    let named = Subscription { name: "crm".into(), events: vec![HookEvent::RecordingReady] };
    bench.store.keep_webhooks(&[named]).await.expect("written");
    let told = async || {
        let page = bench.store.list_deliveries(&DeliveryFilter::default(), None, 10).await.expect("read");
        let mut ids: Vec<String> = page.rows.into_iter().map(|row| row.id).collect();
        ids.sort();
        ids
    };
    let keys: Vec<String> = (0..3).map(|epoch| key("0192-a", epoch, unix_ms())).collect();
    bench.session("0192-a", &keys.join(" ")).await;
    bench.leave(&keys[0], 1_000);
    bucket.close(true);
    assert_eq!(bench.carry().await, 0);
    assert_eq!(told().await, Vec::<String>::new(), "it is not in its place");
    bucket.close(false);
    assert_eq!(bench.carry().await, 1);
    assert_eq!(told().await, ["recording_0192-a_0_crm"]);
    // A relay that is killed before the file is removed carries it once more.
    bench.leave(&keys[0], 1_000);
    bench.leave(&keys[2], 1_000);
    assert_eq!(bench.carry().await, 2);
    assert_eq!(told().await, ["recording_0192-a_0_crm", "recording_0192-a_2_crm"]);
}

#[tokio::test]
async fn the_pieces_of_a_session_are_read_as_one() {
    let bench = Bench::in_a_folder().await;
    let keys: Vec<String> = (0..3).map(|epoch| key("0192-a", epoch, unix_ms())).collect();
    bench.session("0192-a", &keys.join(" ")).await;
    let first = bench.leave(&keys[0], 700_000);
    let last = bench.leave(&keys[2], 10);
    assert_eq!(bench.carry().await, 2);
    let whole = samples(&bench.read(&keys.join(" ")).await.expect("readable"));
    assert_eq!(whole, words(&[first, last].concat()), "without the one that never came to be");
    bench.recordings.delete(&keys.join(" ")).await.expect("deleted");
    let left = std::fs::read_dir(bench.dir.path().join("rec")).expect("a folder");
    assert_eq!(left.count(), 0, "no empty folders either");
}

#[tokio::test]
async fn any_range_of_a_recording_is_the_same_part_of_the_whole() {
    let bucket = s3::Bucket::start().await;
    for bench in [Bench::in_a_folder().await, Bench::in_a_bucket(&bucket).await] {
        let keys: Vec<String> = (0..3).map(|epoch| key("0192-a", epoch, unix_ms())).collect();
        let names = keys.join(" ");
        bench.session("0192-a", &names).await;
        // More than what is read at once, then little.
        for (key, frames) in keys.iter().zip([300_000, 5, 20]) {
            bench.leave(key, frames);
        }
        assert_eq!(bench.carry().await, 3);
        let whole = bench.read(&names).await.expect("readable");
        let length = whole.len() as u64;
        assert_eq!(length, 44 + 4 * 300_025);
        let second = length - 4 * 25;
        let edges =
            [0, 1, 43, 44, 45, 1 << 20, (1 << 20) + 44, second - 1, second, second + 19, second + 20, length];
        for (n, start) in edges.iter().enumerate() {
            for end in &edges[n..] {
                let read = bench.read_range(&names, *start..*end).await.expect("readable");
                assert!(
                    read == whole[*start as usize..*end as usize],
                    "{start}..{end} has {} bytes",
                    read.len()
                );
            }
        }
    }
}

#[tokio::test]
async fn what_was_deleted_while_it_was_on_its_way_does_not_come_back() {
    let bench = Bench::in_a_folder().await;
    let (gone, expired, empty) =
        (key("0192-a", 0, unix_ms()), key("0192-b", 0, unix_ms()), key("0192-c", 0, unix_ms()));
    bench.session("0192-b", "another").await;
    bench.session("0192-c", &empty).await;
    bench.leave(&gone, 100);
    bench.leave(&expired, 100);
    bench.leave(&empty, 0);
    assert_eq!(bench.carry().await, 0);
    for key in [&gone, &expired, &empty] {
        assert!(!bench.spooled(key).exists(), "{key}");
        assert!(matches!(bench.read(key).await, Err(RecordingError::NotFound)), "{key}");
    }
    // It was sent before its session was deleted, and the relay was killed before it could note that.
    let sent = key("0192-e", 0, unix_ms());
    let path = bench.dir.path().join("rec").join(&sent);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(&path, "sound").expect("written");
    bench.leave(&sent, 100);
    assert_eq!(bench.carry().await, 0);
    assert!(!path.exists() && !bench.spooled(&sent).exists());
    let waiting = key("0192-d", 0, unix_ms());
    bench.leave(&waiting, 100);
    bench.recordings.delete(&waiting).await.expect("deleted");
    assert!(!bench.spooled(&waiting).exists());
}

#[tokio::test]
async fn a_file_that_somebody_still_writes_is_left_alone() {
    let bench = Bench::in_a_folder().await;
    let key = key("0192-a", 0, unix_ms());
    bench.session("0192-a", &key).await;
    bench.leave(&key, 100);
    let writing = File::open(bench.spooled(&key)).expect("it is there");
    writing.lock().expect("nobody has it");
    assert_eq!(bench.carry().await, 0);
    assert!(matches!(bench.recordings.delete(&key).await, Err(RecordingError::Busy)));
    assert!(bench.spooled(&key).exists());
    drop(writing);
    assert_eq!(bench.carry().await, 1);
}

#[test]
fn a_place_that_makes_no_sense_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("file"), "").expect("written");
    let folder = RecordingPlace::Folder(dir.path().join("file"));
    let refused = Recordings::new(&folder, dir.path(), 0, []).expect_err("no folder");
    assert!(refused.to_string().starts_with("recording.dir: "), "{refused}");
    let bucket = RecordingPlace::Bucket("s3://calls/".parse().expect("a URL"));
    let variables = [("AWS_VIRTUAL_HOSTED_STYLE_REQUEST".to_owned(), "perhaps".to_owned())];
    let refused = Recordings::new(&bucket, dir.path(), 0, variables).expect_err("no flag");
    assert!(refused.to_string().starts_with("recording.url: "), "{refused}");
}
