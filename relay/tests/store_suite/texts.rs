//! Whatever a client or an administrator writes can be stored, by both databases alike.

use protocol::{Mark, Role};
use relay::call::Turn;
use relay::records::store::{
    Denial, DenialKind, NewSession, Opened, Quality, SessionFilter, Transcript, TurnCursor, UsageBy,
    UsageFilter, Whom,
};

use super::{Bench, WIDE, caps, on_both_databases, open, quota, row, session, settle, turn};

on_both_databases! {
    every_text_is_stored_and_found_again
    texts_that_name_nothing_find_nothing
}

/// Texts that databases, encodings and statements have trouble with, and mixtures of them by chance.
fn texts() -> Vec<String> {
    let pieces = [
        "\0",
        "\u{1}",
        "\u{7f}",
        "\u{85}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "🎙",
        "é",
        "e\u{301}",
        "'",
        "''",
        "\"",
        "\\",
        "\\0",
        "\\u0000",
        "$1",
        "?",
        "%",
        "_",
        "--",
        ";",
        "NULL",
        "\r\n",
        "\t",
        " ",
        "\u{202e}",
        "\u{feff}",
        "ﷺ",
    ];
    let mut texts: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    texts.extend([String::new(), "\0".repeat(1_000), "x".repeat(200_000), "🎙\0".repeat(20_000)]);
    // A generator of numbers that are the same each time (Knuth's MMIX).
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    texts.extend((0..60).map(|_| (0..=next(12)).map(|_| pieces[next(pieces.len())]).collect()));
    texts
}

/// As it is stored: what no database takes is replaced.
fn stored(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

async fn every_text_is_stored_and_found_again(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    for (n, text) in texts().iter().enumerate() {
        let id = format!("s{n}");
        // Names have a length that an index holds; the rest may be as long as a message.
        let name: String = text.chars().take(255).collect();
        let new = NewSession {
            user_sub: name.clone(),
            account: name.clone(),
            plan: Some(name.clone()),
            login: Some(name.clone()),
            client: text.clone(),
            agent: text.clone(),
            recording: Some(format!("{id} {name}")),
            ..session(&id)
        };
        open(store, &new, &quota()).await;
        let said: Vec<Turn> =
            [Role::User, Role::Agent].into_iter().zip(0..).map(|(role, n)| turn(n, role, text)).collect();
        store.save_turns(&id, 0, &said, Mark::default(), 0).await.expect("written");
        let mut used = row("1", 1, 1);
        (used.item, used.provider, used.unit, used.price_version) =
            (text.clone(), text.clone(), name.clone(), text.clone());
        store.settle(&settle(&id, vec![used], all)).await.expect("written");

        let kept = store.session(&id).await.expect("read").expect("there");
        assert_eq!(kept.user_sub, stored(&name));
        assert_eq!((kept.client.as_str(), kept.agent.as_str()), (&*stored(text), &*stored(text)));
        assert_eq!(kept.login, Some(stored(&name)));
        let turns = store.turns(&id).await.expect("read");
        assert!(turns.iter().all(|row| row.turn.text == stored(text)) && turns.len() == 2, "{text:?}");
        assert_eq!(store.ledger(&id).await.expect("read")[0].item, stored(text));

        let filter = SessionFilter {
            user_sub: Some(name.clone()),
            account: Some(name.clone()),
            conversation_id: Some(id.clone()),
            ..SessionFilter::default()
        };
        let found = store.list_sessions(&filter, None, 10).await.expect("read");
        assert_eq!(found.rows.len(), 1, "found by the name it was given: {name:?}");
        let denial = Denial {
            kind: DenialKind::Sub,
            subject: name.clone(),
            reason: text.clone(),
            created_by: text.clone(),
            by_key: false,
            created_at_ms: 1,
            expires_at_ms: None,
        };
        store.deny(&denial).await.expect("written");
        assert!(store.allow(DenialKind::Sub, &name, "root").await.expect("written"), "{name:?}");
        store.end_session(&id, 0, text, Quality::default(), 2).await.expect("written");
    }
}

async fn texts_that_name_nothing_find_nothing(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("known"), &quota()).await;
    for text in texts() {
        assert_eq!(store.session(&text).await.expect("read"), None);
        assert_eq!(store.turns(&text).await.expect("read"), []);
        let new = NewSession { conversation_id: text.clone(), ..session("new") };
        let opened = store.open_session(&new, &quota()).await.expect("answered");
        assert_eq!(opened, Opened::NoConversation, "{text:?}");
        let after = TurnCursor { started_at_ms: 0, session_id: text.clone(), turn: 0 };
        let of = Transcript::Conversation { id: &text, user_sub: &text };
        assert_eq!(store.transcript(of, Some(&after), 10).await.expect("read").rows, []);
        let filter = UsageFilter {
            user_sub: Some(text.clone()),
            account: Some(text.clone()),
            from_ms: 0,
            to_ms: i64::MAX / 2_000,
            by: UsageBy::User,
        };
        assert_eq!(store.usage(&filter, None, 10).await.expect("read").rows, []);
        assert_eq!(store.request_end(Whom::User(&text), "normal", None).await.expect("written"), 0);
        store.renew_lease(&text, super::LEASE).await.expect("written");
        assert_eq!(store.sessions_held(&text).await.expect("read"), [""; 0]);
        assert!(!store.end_elsewhere(&text, "normal").await.expect("written"));
        assert!(!store.delete_session(&text, None).await.expect("written"));
        assert_eq!(store.delete_user(&text, Some("root"), "act").await.expect("written"), 0);
    }
}
