//! The signature of a message: Standard Webhooks, symmetric (`v1`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

const PREFIX: &str = "whsec_";
/// The least that the standard asks for.
const LEAST_BYTES: usize = 24;

/// The header `webhook-signature`; the error says what a secret is.
pub fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> Result<String, String> {
    let text = secret.trim();
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok();
    let bytes = bytes.filter(|bytes| bytes.len() >= LEAST_BYTES).ok_or_else(|| {
        format!("its secret is not \"{PREFIX}\" and at least {LEAST_BYTES} bytes in base64, as `openssl rand -base64 32` makes them")
    })?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_standard_says() {
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, id, 1_614_265_330, body).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for wrong in ["", "hush", "whsec_aHVzaA==", "whsec_%"] {
            assert!(signature(wrong, id, 0, body).unwrap_err().contains("openssl"), "{wrong}");
        }
    }
}
