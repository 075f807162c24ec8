//! A network that loses packets, between this machine and a network namespace of its own. For kernels that have no netem, too.
//!
//! Two TUN devices hand over every packet that leaves the machine for the namespace or comes back; [`Link`] carries them, each after the
//! same delay, and drops some by chance. The devices and the namespace have no owner but this process: however it ends, the kernel takes
//! them away. It takes root and `/dev/net/tun`.

mod tap;
pub mod trial;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

pub use tap::{Arrival, Tap};

/// The largest packet: no larger than a real network's.
const PACKET_MAX_BYTES: usize = 1_500;
/// What this takes, in words.
const ADVICE: &str = "a lossy link takes root (it makes a network namespace) and /dev/net/tun: run it with sudo, or in a container with \
     `--cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun`";

/// What a link does to packets, both ways alike.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long each is on its way.
    pub delay: Duration,
    /// How many of a hundred are dropped.
    pub loss_percent: u32,
    /// The same number drops the same packets, as far as the same packets come.
    pub seed: u64,
}

/// Packets that a link has seen, both ways.
#[derive(Debug, Default)]
pub struct Counts {
    carried: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Packets that went through.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Packets that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A lossy link and the namespace at its far end.
#[derive(Debug)]
pub struct Link {
    near: Ipv4Addr,
    namespace: File,
    counts: Arc<Counts>,
    tap: Tap,
    carrier: JoinHandle<io::Result<()>>,
}

impl Link {
    /// Makes the `number`th link of this process.
    ///
    /// # Errors
    /// When this machine does not allow it; the message says what to do.
    pub async fn open(number: u8, weather: Weather) -> io::Result<Link> {
        // The range that RFC 2544 keeps for measuring networks; two runs of it at a time do not meet.
        let run = (std::process::id() % 250) as u8;
        let [near, far] =
            [1, 2].map(|end| Ipv4Addr::new(198, 18 + number % 2, run, (number / 2 % 64) * 4 + end));
        let name = format!("voxlossy{run}-{number}");
        let device = device(&name, near).map_err(|error| advise(&error))?;
        let (namespace, far_device) = elsewhere(name, far).await.map_err(|error| advise(&error))?;
        let (counts, tap) = (Arc::<Counts>::default(), Tap::default());
        let carrier =
            tokio::spawn(carry([device, far_device], Chance::new(weather), counts.clone(), tap.clone()));
        Ok(Link { near, namespace, counts, tap, carrier })
    }

    /// This machine's address, as the far end knows it.
    #[must_use]
    pub fn near(&self) -> Ipv4Addr {
        self.near
    }

    /// The namespace of the far end as a file that other programs may enter while this process lives.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd()))
    }

    /// What the link has carried.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What has come through it to this machine.
    #[must_use]
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Runs something at the far end: whatever socket it opens, whatever program it starts, is there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    /// When `work` does.
    pub async fn far<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let namespace = self.namespace.try_clone()?;
        let (tell, told) = oneshot::channel();
        thread::spawn(move || {
            let done = setns(&namespace, CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| Builder::new_current_thread().enable_all().build())
                .map(|runtime| runtime.block_on(work()));
            let _ = tell.send(done);
        });
        told.await.expect("it does not panic")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

fn advise(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{error}: {ADVICE}"))
}

/// A namespace, and the device in it. Made by a thread that ends: a namespace is a thread's own.
async fn elsewhere(name: String, address: Ipv4Addr) -> io::Result<(File, Tun)> {
    let (runtime, (tell, told)) = (Handle::current(), oneshot::channel());
    thread::spawn(move || {
        let _entered = runtime.enter();
        let made = unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from).and_then(|()| {
            let namespace = File::open("/proc/thread-self/ns/net")?;
            Ok((namespace, device(&name, address)?))
        });
        let _ = tell.send(made);
    });
    told.await.expect("it does not panic")
}

/// One of two addresses that see each other through it.
fn device(name: &str, address: Ipv4Addr) -> io::Result<Tun> {
    let device = Tun::builder()
        .name(name)
        .address(address)
        .netmask(Ipv4Addr::new(255, 255, 255, 252))
        .mtu(PACKET_MAX_BYTES as i32)
        .close_on_exec()
        .up();
    let made = device.build().map_err(|error| match error {
        tokio_tun::Error::NixError(error) => error.into(),
        tokio_tun::Error::IoError(error) => error,
    });
    made?.pop().ok_or_else(|| io::Error::other("no device was made"))
}

/// Which packets are lost.
struct Chance {
    delay: Duration,
    threshold: u64,
    random: u64,
}

impl Chance {
    fn new(weather: Weather) -> Chance {
        let threshold = (u64::MAX / 100).saturating_mul(weather.loss_percent.into());
        Chance { delay: weather.delay, threshold, random: weather.seed }
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
    fn drops(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31) < self.threshold
    }
}

/// Carries packets until it is aborted. `devices` are this machine's and the far one.
async fn carry(devices: [Tun; 2], mut chance: Chance, counts: Arc<Counts>, tap: Tap) -> io::Result<()> {
    let [near, far] = &devices;
    // All are on their way for the same time, so whichever came first is due first.
    let mut travelling: VecDeque<(Instant, usize, Vec<u8>)> = VecDeque::new();
    let (mut from_near, mut from_far) = ([0; PACKET_MAX_BYTES], [0; PACKET_MAX_BYTES]);
    loop {
        let due = travelling.front().map(|(due, ..)| *due);
        let (packet, to) = tokio::select! {
            read = near.recv(&mut from_near) => (&from_near[..read?], 1),
            read = far.recv(&mut from_far) => (&from_far[..read?], 0),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => (&[][..], 0),
        };
        if !packet.is_empty() {
            if chance.drops() {
                counts.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                travelling.push_back((Instant::now() + chance.delay, to, packet.to_vec()));
            }
        }
        let now = Instant::now();
        while let Some((_, to, packet)) = travelling.pop_front_if(|(due, ..)| *due <= now) {
            counts.carried.fetch_add(1, Ordering::Relaxed);
            if to == 0 {
                tap.saw(now, &packet);
            }
            // A device whose queue is full loses packets, as a router does.
            let _ = devices[to].try_send(&packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_packets_are_lost_as_the_weather_says_and_the_same_ones_for_the_same_seed() {
        for loss_percent in [0, 5, 30, 100] {
            let weather = Weather { delay: Duration::ZERO, loss_percent, seed: 7 };
            let lost = || {
                let mut chance = Chance::new(weather);
                (0..100_000).map(|_| chance.drops()).collect::<Vec<_>>()
            };
            let share = lost().iter().filter(|lost| **lost).count() as f64 / 1_000.0;
            assert!((share - f64::from(loss_percent)).abs() < 0.5, "{share} of {loss_percent}");
            assert_eq!(lost(), lost());
        }
    }
}
