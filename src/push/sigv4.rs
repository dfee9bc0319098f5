//! AWS Signature Version 4 (AWS General Reference, "Signature Version 4 signing process"; S3 API Reference, "Authenticating
//! Requests: Using the Authorization Header"). The whole payload is signed, by its SHA-256.

use crate::base::hash::{hex, hmac_sha256, sha256_hex};
use crate::base::order;
use crate::base::ports::{Method, Secret};
use crate::base::time::Timestamp;

/// Who signs, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) secret_access_key: &'a Secret,
    pub(super) session_token: Option<&'a Secret>,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A request as it is signed.
#[derive(Clone, Debug)]
pub(super) struct UnsignedRequest<'a> {
    pub(super) method: Method,
    /// The host, with its port where that is not the scheme's own.
    pub(super) host: &'a str,
    /// The path, encoded as [`encoded_path`] does it.
    pub(super) path: &'a str,
    /// The query's parameters, not encoded.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Further headers to sign, names in lower case. What is not signed may be added later.
    pub(super) headers: &'a [(&'static str, String)],
    /// SHA-256 of the body, in hexadecimal digits.
    pub(super) payload: &'a str,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// All headers of the signed request but `Host`, which the HTTP client writes: those given, and those of the signature.
pub(super) fn sign(signer: &Signer<'_>, request: &UnsignedRequest<'_>, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = now.compact();
    let date = time.get(..8).unwrap_or_default();
    let mut headers = request.headers.to_vec();
    headers.push(("x-amz-content-sha256", request.payload.to_owned()));
    headers.push(("x-amz-date", time.clone()));
    if let Some(token) = signer.session_token {
        headers.push(("x-amz-security-token", token.expose().to_owned()));
    }
    let mut lines: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.trim())).collect();
    lines.push(("host", request.host));
    order::sort(&mut lines);
    let names = lines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines = lines.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<Vec<_>>().concat();
    let canonical =
        [request.method.as_str(), request.path, &encoded_query(request.query), &lines, &names, request.payload]
            .join("\n");
    let scope = format!("{date}/{}/{}/aws4_request", signer.region, signer.service);
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let secret = format!("AWS4{}", signer.secret_access_key.expose());
    let key = [date, signer.region, signer.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac_sha256(&key, part.as_bytes()).to_vec());
    let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
    headers.push((
        "authorization",
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            signer.access_key_id
        ),
    ));
    headers
}

/// A path with everything percent-encoded but what RFC 3986 calls unreserved, and the slashes.
pub(super) fn encoded_path(path: &str) -> String {
    encoded(path, true)
}

/// A query, parameters sorted by their encoded names, each with an equals sign.
pub(super) fn encoded_query(query: &[(&str, &str)]) -> String {
    let mut pairs: Vec<(String, String)> =
        query.iter().map(|(name, value)| (encoded(name, false), encoded(value, false))).collect();
    order::sort(&mut pairs);
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str, keep_slash: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            b'/' if keep_slash => "/".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Signer, UnsignedRequest, encoded_path, sign};
    use crate::base::hash::sha256_hex;
    use crate::base::ports::{Method, Secret};
    use crate::base::time::Timestamp;

    fn signature(headers: &[(&'static str, String)]) -> String {
        let (_, value) = headers.iter().find(|(name, _)| *name == "authorization").unwrap();
        value.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// Method, path, query, headers, body, signature.
    type Case<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], &'a [(&'static str, String)], &'a [u8], &'a str);

    /// The examples of the S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in a
    /// Single Chunk".
    #[test]
    fn signatures_are_those_of_the_s3_reference() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signer = Signer {
            access_key_id: "AKIAIOSFODNN7EXAMPLE",
            secret_access_key: &secret,
            session_token: None,
            region: "us-east-1",
            service: "s3",
        };
        let now = Timestamp::parse("2013-05-24T00:00:00Z").unwrap();
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned()),
        ];
        let range = [("range", "bytes=0-9".to_owned())];
        let cases: [Case; 4] = [
            (
                Method::Get,
                "/test.txt",
                &[],
                &range,
                b"",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Method::Put,
                "/test$file.text",
                &[],
                &put,
                b"Welcome to Amazon S3.",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                Method::Get,
                "/",
                &[("lifecycle", "")],
                &[],
                b"",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                Method::Get,
                "/",
                &[("prefix", "J"), ("max-keys", "2")],
                &[],
                b"",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (method, path, query, headers, body, expected) in cases {
            let (path, payload) = (encoded_path(path), sha256_hex(body));
            let host = "examplebucket.s3.amazonaws.com";
            let request = UnsignedRequest { method, host, path: &path, query, headers, payload: &payload };
            assert_eq!(signature(&sign(&signer, &request, now)), expected, "{path} {query:?}");
        }
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let (secret, token) = (Secret::new("secret"), Secret::new("token"));
        let signer = |session_token| Signer {
            access_key_id: "AKID",
            secret_access_key: &secret,
            session_token,
            region: "eu-central-1",
            service: "s3",
        };
        let payload = sha256_hex(b"");
        let request = UnsignedRequest {
            method: Method::Put,
            host: "b.example.com",
            path: "/k",
            query: &[],
            headers: &[],
            payload: &payload,
        };
        let now = Timestamp::from_secs(1_800_000_000);
        let (with, without) = (sign(&signer(Some(&token)), &request, now), sign(&signer(None), &request, now));
        assert!(with.contains(&("x-amz-security-token", "token".to_owned())));
        let (_, authorization) = with.last().unwrap();
        assert!(authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
        assert_ne!(signature(&with), signature(&without));
        assert!(!with.iter().any(|(_, value)| value.contains("secret")), "the secret itself is never sent");
    }

    #[test]
    fn a_path_keeps_its_slashes_and_encodes_the_rest() {
        assert_eq!(encoded_path("/a b/ü+~.c1z"), "/a%20b/%C3%BC%2B~.c1z");
    }
}
