//! The body of a request that brings a call's messages: whatever is read has every byte that was sent, in its order.

use relay::server::{Brought, ROUND_ONE_MESSAGE_BYTES, Record};

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(brought) = Brought::parse(input.to_vec().into()) else { return };
    let mut again = brought.number().to_le_bytes().to_vec();
    let mut longest = 0;
    for record in brought {
        let (kind, payload) = match record {
            Record::Text(payload) => (1, payload),
            Record::Binary(payload) => (2, payload),
            Record::Close => {
                // What stands in a close is not read, so the rest of the input cannot be written again.
                again = input.to_vec();
                break;
            }
        };
        again.push(kind);
        again.extend(u32::try_from(payload.len()).expect("its length had four bytes").to_le_bytes());
        again.extend(&payload);
        longest = longest.max(payload.len());
    }
    assert_eq!(again, input);
    assert!(longest == 0 || longest + ROUND_ONE_MESSAGE_BYTES <= input.len());
}
