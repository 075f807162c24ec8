//! Sessions that begin in a minute, by user and by address.

use protocol::ErrorCode;
use relay::admission::throttle::{Excess, PerMinute, network};
use relay::records::store::Quota;

use super::Model;

impl Model {
    /// Counts a session that begins, and says whether it was one too many for the user or else for the address.
    pub(super) fn take_rates(&mut self, now: i64, user_sub: &str, quota: &Quota) -> Option<Excess> {
        let user = (format!("user {user_sub}"), quota.sessions_per_minute, ErrorCode::SessionRate);
        let address = network(quota.address).to_string();
        let address = (address, quota.sessions_per_minute_per_address, ErrorCode::AddressRate);
        let [of_user, of_address] = [user, address].map(|(key, per_minute, code)| {
            let now_us = now * 1_000;
            let tat_us = PerMinute(per_minute).take(self.rates.get(&key).copied(), now_us);
            self.rates.insert(key, tat_us);
            PerMinute(per_minute).excess(code, tat_us - now_us)
        });
        of_user.or(of_address)
    }
}
