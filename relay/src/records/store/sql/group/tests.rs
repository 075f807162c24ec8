use std::panic::resume_unwind;

use futures_util::FutureExt;
use sqlx::Row;
use tokio::task::JoinHandle;

use super::super::SqlStore;
use super::super::statement::Statement;
use super::*;
use crate::records::store::Store;

const MAKE: &str = "CREATE TABLE kept (number BIGINT NOT NULL, bytes BLOB);
    CREATE TABLE owned (number BIGINT PRIMARY KEY, owner BIGINT REFERENCES owned DEFERRABLE INITIALLY DEFERRED)";
const KEEP: &str = "INSERT INTO kept VALUES ($1, zeroblob($2))";
const OWN: &str = "INSERT INTO owned VALUES ($1, $1 + 1)";

/// What a work does, beside writing its number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Well,
    /// It writes so many bytes.
    Large(i64),
    Refused,
    /// It has an answer, and what it did is not to stay.
    Undone,
    NoSql,
    Panics,
    /// What it leaves cannot be committed.
    Ownerless,
}

async fn store() -> (SqlStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("opened");
    // What is together in a test is so on a slow machine, too.
    store.group = Some(Group { budget: Duration::MAX, ..Group::default() });
    for make in MAKE.split(';') {
        Statement::new(make).execute(&store.writer).await.expect("made");
    }
    (store, dir)
}

/// Writes these, the first one with number 0, in one transaction: nothing is begun before all of them wait. Says what each was answered.
async fn together(store: &SqlStore, works: &[How]) -> Vec<Result<i64, StoreError>> {
    let taken = store.writer.take().await.expect("free");
    let mut begun = Vec::new();
    for (number, how) in (0..).zip(works) {
        begun.push(spawn(store, number, *how, Durability::Process));
        waits(store, begun.len()).await;
    }
    taken.hand_back();
    let mut answers = Vec::new();
    for task in begun {
        answers.push(task.await.expect("no task ends with what it does"));
    }
    answers
}

async fn waits(store: &SqlStore, works: usize) {
    while store.group.as_ref().expect("SQLite").line().waiting.len() < works {
        tokio::task::yield_now().await;
    }
}

fn spawn(
    store: &SqlStore,
    number: i64,
    how: How,
    durability: Durability,
) -> JoinHandle<Result<i64, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move {
        let readers = store.readers.clone();
        store
            .shared_or_undo(durability, move |tx| {
                async move {
                    let bytes = if let How::Large(bytes) = how { bytes } else { 0 };
                    Statement::new(KEEP).bind(number).bind(bytes).execute(&mut *tx.connection).await?;
                    match how {
                        How::Well | How::Large(_) => {}
                        How::Refused => return Err(StoreError::Fenced { id: number.to_string() }),
                        How::Undone => return Ok(Err(number)),
                        How::NoSql => {
                            Statement::new("no SQL").execute(&mut *tx.connection).await?;
                        }
                        // Nobody is to look for this one in the log.
                        How::Panics => resume_unwind(Box::new("in the middle of a transaction")),
                        How::Ownerless => {
                            Statement::new(OWN).bind(number).execute(&mut *tx.connection).await?;
                        }
                    }
                    // Nobody else sees it before all is committed.
                    let seen = Statement::new("SELECT number FROM kept WHERE number = $1").bind(number);
                    assert!(seen.fetch_optional(&readers).await?.is_none());
                    Ok(Ok(number))
                }
                .boxed()
            })
            .await
    })
}

async fn kept(store: &SqlStore) -> Vec<i64> {
    let rows = Statement::new("SELECT number FROM kept ORDER BY number").fetch_all(&store.readers).await;
    rows.expect("read").iter().map(|row| row.get("number")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_its_neighbours_each_work_has_its_own_outcome() {
    use How::{NoSql, Panics, Refused, Undone, Well};
    let (store, _dir) = store().await;
    let all = [
        vec![Refused, Well, Undone, Well, NoSql, Well, Panics, Well],
        vec![Panics],
        vec![NoSql],
        vec![Undone],
        vec![Refused],
        vec![Well],
        vec![Undone, Refused, NoSql, Panics],
    ];
    for works in all {
        let answers = together(&store, &works).await;
        let mut well = Vec::new();
        for ((number, how), answer) in (0..).zip(&works).zip(answers) {
            match (how, &answer) {
                (Well, Ok(answer)) if *answer == number => well.push(number),
                (Undone, Ok(answer)) if *answer == number => {}
                (Refused, Err(StoreError::Fenced { id })) if *id == number.to_string() => {}
                (NoSql, Err(error @ StoreError::Database(_))) if !error.is_away() => {}
                (Panics, Err(StoreError::Unfinished)) => {}
                _ => panic!("{how:?}: {answer:?}"),
            }
        }
        assert_eq!(kept(&store).await, well, "{works:?}");
        Statement::new("DELETE FROM kept").execute(&store.writer).await.expect("the connection is free");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_fails_all_of_them_and_the_next_one_is_good() {
    let (store, _dir) = store().await;
    let answers = together(&store, &[How::Well, How::Ownerless, How::Refused, How::Undone]).await;
    for (number, answer) in answers.iter().enumerate() {
        match (number, answer) {
            (2, Err(StoreError::Fenced { .. })) => {}
            (0 | 1 | 3, Err(error @ StoreError::Shared(_))) => {
                assert!(error.is_mendable() && !error.is_away(), "{error}");
                assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
            }
            _ => panic!("{number}: {answer:?}"),
        }
    }
    assert_eq!(kept(&store).await, [0; 0]);
    let answers = together(&store, &[How::Well, How::Well]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(kept(&store).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_each_work_hears_truly_whether_it_is_done_and_none_is_refused_for_good() {
    let (store, _dir) = store().await;
    for (round, large) in (0..6).zip([1, 2, 3].iter().cycle()) {
        // A connection that was thrown away has taken its limit along.
        Statement::new("PRAGMA max_page_count = 1").fetch_one(&store.writer).await.expect("set");
        let mut works = [How::Well; 5];
        works[*large] = How::Large(400_000);
        let answers = together(&store, &works).await;
        let mut done = Vec::new();
        for (number, answer) in (0..).zip(answers) {
            match answer {
                Ok(number) => done.push(number),
                Err(error) => assert!(error.is_away(), "{number}: {error}"),
            }
        }
        assert!(!done.contains(&(*large as i64)), "there is no room");
        assert_eq!(kept(&store).await, done, "round {round}");
        Statement::new("PRAGMA max_page_count = 1000000").fetch_one(&store.writer).await.expect("set");
        Statement::new("DELETE FROM kept").execute(&store.writer).await.expect("there is room");
    }
    let answers = together(&store, &[How::Large(400_000), How::Well]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_outlives_what_the_most_demanding_of_its_works_is_to_outlive() {
    let (store, _dir) = store().await;
    let synchronous = async |works: &[Durability]| {
        let taken = store.writer.take().await.expect("free");
        let mut begun = Vec::new();
        for durability in works {
            let (own, durability) = (store.clone(), *durability);
            begun.push(tokio::spawn(async move {
                let work = own.shared(durability, |tx| {
                    async move {
                        let row = Statement::new("PRAGMA synchronous").fetch_one(&mut *tx.connection).await?;
                        Ok(row.get::<i64, _>(0))
                    }
                    .boxed()
                });
                work.await.expect("done")
            }));
            waits(&store, begun.len()).await;
        }
        taken.hand_back();
        let mut seen = Vec::new();
        for task in begun {
            seen.push(task.await.expect("no panic"));
        }
        seen
    };
    use Durability::{PowerCut, Process};
    let (normal, full) = (1, 2);
    assert_eq!(synchronous(&[Process]).await, [normal]);
    assert_eq!(synchronous(&[Process, PowerCut, Process]).await, [full; 3]);
    assert_eq!(synchronous(&[Process, Process]).await, [normal; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_transaction_takes_are_all_done_in_their_order() {
    let (store, _dir) = store().await;
    let works = vec![How::Well; 3 * WORKS + 1];
    let answers = together(&store, &works).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let rows = Statement::new("SELECT number FROM kept ORDER BY rowid").fetch_all(&store.readers).await;
    let numbers: Vec<i64> = rows.expect("read").iter().map(|row| row.get("number")).collect();
    assert_eq!(numbers, (0..works.len() as i64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_begun_is_not_done_later() {
    let (store, _dir) = store().await;
    let taken = store.writer.take().await.expect("free");
    let task = spawn(&store, 0, How::Well, Durability::Process);
    let answer = task.await.expect("no panic");
    assert!(matches!(&answer, Err(StoreError::Unreachable(_))), "{answer:?}");
    taken.hand_back();
    assert!(together(&store, &[How::Refused]).await[0].is_err());
    assert_eq!(kept(&store).await, [0; 0]);
    Store::close(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_time_left_in_a_transaction_has_the_next_one() {
    let (mut store, _dir) = store().await;
    store.group = Some(Group { budget: Duration::ZERO, ..Group::default() });
    let answers = together(&store, &[How::Well, How::Ownerless, How::Well, How::Undone]).await;
    let [Ok(0), Err(StoreError::Shared(_)), Ok(2), Ok(3)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(kept(&store).await, [0, 2], "each alone");
}

/// A write is late by at most 20 ms for the sake of others: while these are done, and the last of them ends and is committed.
#[tokio::test(flavor = "multi_thread")]
async fn no_work_begins_in_a_transaction_that_is_ten_milliseconds_old() {
    let (mut store, _dir) = store().await;
    store.group = Some(Group::default());
    let taken = store.writer.take().await.expect("free");
    let mut begun = Vec::new();
    for number in 0..8 {
        let work = store.clone();
        begun.push(tokio::spawn(async move {
            let readers = work.readers.clone();
            let work = work.shared_or_undo(Durability::Process, move |tx| {
                async move {
                    let seen = Statement::new("SELECT COUNT(*) AS number FROM kept");
                    let seen = seen.fetch_optional(&readers).await?.map_or(0, |row| row.get("number"));
                    Statement::new(KEEP).bind(number).bind(0_i64).execute(&mut *tx.connection).await?;
                    tokio::time::sleep(Duration::from_millis(6)).await;
                    Ok::<Result<i64, i64>, StoreError>(Ok(seen))
                }
                .boxed()
            });
            work.await
        }));
        waits(&store, begun.len()).await;
    }
    taken.hand_back();
    for (number, task) in (0..).zip(begun) {
        let committed = task.await.expect("it ends").expect("well");
        assert!(number - committed <= 1, "{} works before {number} were not committed", number - committed);
    }
}
