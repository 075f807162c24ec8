//! Calls over networks that lose packets or stand still: what was said before hanging up arrives.

use std::time::Duration;

use protocol::CloseCode;
use relay::client::{Options, run};
use relay::records::store::{SqlStore, Store};
use tests::sound::voice;
use tests::{Relay, token};
use tokio::io::copy;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Carries 7 KB a second of what the caller says to the relay, more once `is_fast`, and what the relay says at any speed.
async fn line(relay: &Relay, is_fast: watch::Receiver<bool>) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    // What the system takes meanwhile would otherwise be as much as is said.
    socket.set_recv_buffer_size(4_096).expect("set");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(8).expect("listens");
    let (near, far) = (listener.local_addr().expect("bound"), relay.address);
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let is_fast = is_fast.clone();
            tokio::spawn(async move {
                let mut relay = TcpStream::connect(far).await.expect("it listens");
                let ((mut said, mut hears), (mut answers, mut is_told)) = (caller.split(), relay.split());
                let up = async {
                    let mut bytes = [0; 4_096];
                    loop {
                        if !*is_fast.borrow() {
                            sleep(Duration::from_millis(600)).await;
                        }
                        let length = tokio::io::AsyncReadExt::read(&mut said, &mut bytes).await?;
                        tokio::io::AsyncWriteExt::write_all(&mut is_told, &bytes[..length]).await?;
                        if length == 0 {
                            return std::io::Result::Ok(());
                        }
                    }
                };
                let _ = tokio::select! {
                    ended = up => ended,
                    ended = copy(&mut answers, &mut hears) => ended.map(drop),
                };
            });
        }
    });
    format!("ws://{near}/v1/call")
}

#[tokio::test]
async fn what_waits_in_front_of_a_slow_line_goes_over_it_though_the_caller_has_hung_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let (control, is_fast) = watch::channel(false);
    let url = line(&relay, is_fast).await;
    let options = Options { waits_for_answer: false, ..Options::new(url, token(), voice(18.0)) };
    let call = tokio::spawn(run(options, |_| {}));
    sleep(Duration::from_secs(20)).await;
    control.send_replace(true);
    let report = call.await.expect("does not panic");
    assert_eq!((report.ended, report.missing()), (Some(CloseCode::Normal), 0), "{report:?}");
    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let id = report.session_id.expect("there was a session");
    let session = store.session(&id).await.expect("readable").expect("stored");
    assert_eq!((session.audio_samples, session.reconnects), (report.spoken, 0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_word_is_lost_where_every_tenth_packet_is() {
    use tests::lossy::Weather;
    use tests::lossy::trial::{Trial, go_through};

    let weather = Weather { delay: Duration::from_millis(50), loss_percent: 10, seed: 1 };
    let trial = Trial { weather, calls: 4, seconds: (4, 8), buffer: Duration::from_secs(60) };
    // Where a link may not be made there is nothing to try.
    let Ok(outcome) = go_through(64, trial).await else {
        return;
    };
    for call in &outcome.calls {
        assert_eq!((call.report.ended, call.report.missing()), (Some(CloseCode::Normal), 0));
        assert_eq!(call.metered, call.report.spoken);
        assert_eq!(call.late.len() as u64, call.report.spoken.div_ceil(1_600), "each chunk was seen to come");
    }
    let (carried, dropped) = outcome.packets;
    assert!((carried / 20..carried / 5).contains(&dropped), "{dropped} dropped, {carried} carried");
}
