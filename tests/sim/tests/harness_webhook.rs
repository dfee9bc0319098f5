//! The tenant's tokens, verified by the runtime's own `WebCrypto` in a small Worker.

use sim::conductorone::{AlgStyle, Algorithm, ConductorOne, JwkStyle, Token};
use sim::harness::{Options, World};

const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class Coordinator extends DurableObject {}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const algorithms = {
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  EdDSA: { name: "Ed25519" },
};

export default {
  async fetch(request) {
    const body = await request.arrayBuffer();
    const [header, claims, signature] = request.headers.get("authorization").split(" ")[1].split(".");
    const { alg, kid } = JSON.parse(atob(header));
    const { keys } = await (await fetch("https://acme.conductor.one/auth/v1/jwks")).json();
    const algorithm = algorithms[alg];
    if (!algorithm) return new Response("algorithm", { status: 401 });
    try {
      const key = await crypto.subtle.importKey("jwk", keys.find((key) => key.kid === kid), algorithm, false, ["verify"]);
      const signed = new TextEncoder().encode(header + "." + claims);
      if (!await crypto.subtle.verify(algorithm, key, bytes(signature), signed)) {
        return new Response("signature", { status: 401 });
      }
    } catch (error) {
      return new Response("key: " + error, { status: 401 });
    }
    const hash = btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest("SHA-256", body))));
    if (JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).htb_s256 !== hash) {
      return new Response("body", { status: 401 });
    }
    return Response.json({ version: "v1" });
  },
};
"#;

#[tokio::test]
async fn the_runtime_verifies_what_the_tenant_signs_and_nothing_else() {
    let build = tempfile::tempdir().unwrap();
    std::fs::write(build.path().join("index.js"), WORKER).unwrap();
    let c1 = ConductorOne::new();
    let options = Options::default().build_dir(build.path());
    let world = World::start(c1.handler(), c1.clone(), options).await.unwrap();
    let said = async |token: Token| world.deliver_once(&c1.test_event().token(token)).await.unwrap().text();

    for algorithm in Algorithm::ALL {
        // The key that the tenant begins with, and enough new ones to come by every built-in RSA key.
        for _ in 0..5 {
            assert_eq!(said(Token::new().algorithm(algorithm)).await, r#"{"version":"v1"}"#, "{algorithm:?}");
            c1.rotate(algorithm);
        }
        assert_eq!(said(Token::new().algorithm(algorithm).signed_by_another_key()).await, "signature");
        assert_eq!(said(Token::new().algorithm(algorithm).broken_signature()).await, "signature");
    }
    assert_eq!(said(Token::new().unsigned()).await, "algorithm");
    assert_eq!(said(Token::new().hmac_with_public_key()).await, "algorithm");
    assert_eq!(world.deliver_once(&c1.test_event().tampered("{}")).await.unwrap().text(), "body");

    let outcome = world.deliver(&c1.test_event()).await;
    assert_eq!(outcome.attempts.len(), 1);
    assert!(outcome.document().is_some());
    assert!(world.gateway.unknown().is_empty());

    c1.set_jwk_style(JwkStyle { alg: AlgStyle::FullySpecified, ..JwkStyle::default() });
    let refused = said(Token::new()).await;
    assert!(refused.starts_with("key: "), "the runtime refuses a JWK whose alg is Ed25519: {refused}");
}
