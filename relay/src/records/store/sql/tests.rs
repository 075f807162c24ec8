use std::fs;
use std::path::Path;

use super::super::audit::{DeedFilter, DeedKind};
use super::super::delivery::{ALERTS_WEBHOOK, DeliveryFilter, DeliveryState, HookEvent, MessageKind};
use super::super::incident::IncidentKind;
use super::super::query::{Cursor, SessionFilter};
use super::super::types::SessionState;
use super::{Dialect, SqlStore, audit, deliveries, records};

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

/// The longer a relay is there, the more rows a list would walk that are none of what it is narrowed by.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_list_is_narrowed_by_is_found_by_the_index_that_leaves_the_fewest_rows() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("opened");
    let sqlite = Dialect::Sqlite;
    let (someone, live) = (Some("ada".to_owned()), Some(SessionState::Live));
    let sessions = |filter: SessionFilter| records::sessions(sqlite, &filter, None);
    let all = SessionFilter::default;
    let told = |webhook: Option<&str>, event, state| {
        let filter = DeliveryFilter { webhook: webhook.map(str::to_owned), event, state };
        deliveries::deliveries(sqlite, &filter, None)
    };
    let second_page = Cursor { at_ms: 1, id: "a".to_owned() };
    let (waiting, given_up) = (Some(DeliveryState::Waiting), Some(DeliveryState::GivenUp));
    let erased = Some(MessageKind::Event(HookEvent::UserErased));
    let (reached, exceeded) = (Some(MessageKind::BudgetThreshold), Some(MessageKind::ProviderExcess));
    let down = Some(MessageKind::Incident(IncidentKind::ProviderDown));
    let denied = || DeedFilter { what: Some(DeedKind::Deny), ..DeedFilter::default() };
    for (select, indexes) in [
        (sessions(all()), "sessions_by_time"),
        (sessions(SessionFilter { user_sub: someone.clone(), ..all() }), "sessions_of_user"),
        (sessions(SessionFilter { account: someone.clone(), ..all() }), "sessions_of_account"),
        (sessions(SessionFilter { state: live, ..all() }), "sessions_live_by_time"),
        (sessions(SessionFilter { state: live, from_ms: Some(1), ..all() }), "sessions_live_by_time"),
        (
            sessions(SessionFilter { state: live, user_sub: someone.clone(), ..all() }),
            "sessions_live_of_user_by_time",
        ),
        (
            sessions(SessionFilter { state: live, account: someone.clone(), ..all() }),
            "sessions_live_of_account_by_time",
        ),
        (
            sessions(SessionFilter { state: Some(SessionState::Ended), account: someone.clone(), ..all() }),
            "sessions_of_account",
        ),
        (told(None, None, None), "deliveries_by_time alerts_by_time incidents_by_time"),
        (
            deliveries::deliveries(sqlite, &DeliveryFilter::default(), Some(&second_page)),
            "deliveries_by_time alerts_by_time incidents_by_time",
        ),
        (told(Some("crm"), None, None), "deliveries_of_webhook"),
        (told(Some(ALERTS_WEBHOOK), None, None), "deliveries_of_webhook alerts_by_time incidents_by_time"),
        (told(None, erased, None), "deliveries_of_event"),
        (told(None, reached, None), "alerts_by_time"),
        (told(None, reached, given_up), "alerts_given_up"),
        (told(None, exceeded, None), "alerts_of_providers"),
        (told(None, down, None), "incidents_by_time"),
        (told(None, None, waiting), "deliveries_waiting alerts_waiting incidents_by_time"),
        (told(Some("crm"), erased, waiting), "deliveries_waiting"),
        (told(None, None, given_up), "deliveries_given_up alerts_given_up incidents_by_time"),
        (told(Some("crm"), erased, given_up), "deliveries_given_up"),
        (audit::deeds(&DeedFilter::default(), None), "audit_by_time"),
        (audit::deeds(&denied(), None), "audit_of_kind"),
        (audit::deeds(&DeedFilter { by: someone.clone(), ..denied() }, None), "audit_by_whom"),
        (audit::deeds(&DeedFilter { user_sub: someone.clone(), ..denied() }, None), "audit_of_user"),
    ] {
        let plan = select.plan(&store.readers).await.expect("explained");
        let words: Vec<&str> = plan.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
        let are_found = indexes.split(' ').all(|index| words.contains(&index));
        assert!(are_found && !plan.contains("TEMP B-TREE"), "not {indexes} are used: {plan}");
    }
    store.close().await;
}
