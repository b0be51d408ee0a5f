//! Packet boundaries do not depend on how many bytes are there yet, and the limit holds. The first four bytes are
//! the limit.
#![no_main]

use grovemq_codec::{decode_frame, frame_len};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((limit, mut stream)) = data.split_first_chunk() else { return };
    let limit = u32::from_be_bytes(*limit);
    loop {
        let announced = frame_len(stream, limit);
        match decode_frame(stream, limit) {
            Err(error) => {
                assert_eq!(announced, Err(error));
                // Waiting for more bytes cannot have been right before, nor can a packet come out of fewer.
                assert!(
                    (0..stream.len().min(6))
                        .all(|len| !matches!(decode_frame(&stream[..len], limit), Ok(Some(_))))
                );
                return;
            }
            Ok(None) => {
                assert!(
                    announced
                        .expect("no error")
                        .is_none_or(|len| len > stream.len() && len <= limit as usize)
                );
                return;
            }
            Ok(Some(frame)) => {
                assert_eq!(announced, Ok(Some(frame.len())));
                assert!(frame.len() >= 2 && frame.len() <= limit as usize);
                assert!(frame.bytes.ends_with(frame.body));
                assert_eq!(frame.bytes, &stream[..frame.len()]);
                assert_eq!(stream[0], (frame.kind as u8) << 4 | frame.flags);
                assert_eq!(decode_frame(&stream[..frame.len() - 1], limit), Ok(None));
                stream = &stream[frame.len()..];
            }
        }
    }
});
