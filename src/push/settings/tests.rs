//! What is read of the variables of a push, and what is said about those that are wrong.

use super::{Addressing, Settings, Store};
use crate::base::settings::{Problem, Reader};
use crate::base::time::Timestamp;
use crate::conductorone;
use crate::export::File;

const SAS: &str = "https://acme.blob.core.windows.net/governance?sp=cw&st=2026-01-01T00:00:00Z&se=2027-01-01T00:00:00Z&sv=2021-12-02&sr=c&sig=c2VjcmV0";

const S3: [(&str, &str); 4] = [
    ("S3_REGION", "eu-central-1"),
    ("S3_BUCKET", "governance"),
    ("S3_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("S3_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG"),
];

/// The settings, or what is wrong with the variables.
fn read(vars: &[(&str, &str)]) -> Result<Option<Settings>, Vec<Problem>> {
    let all = [("C1_TENANT", "acme.conductor.one"), ("PUBLIC_URL", "https://connector.example.com")];
    let find = |name: &str| vars.iter().rev().chain(&all).find(|(known, _)| *known == name).map(|(_, value)| *value);
    let lookup = |name: &str| find(name).map(str::to_owned);
    let mut reader = Reader::new(&lookup);
    let conductorone = conductorone::Settings::read(&mut reader);
    let settings = Settings::read(&mut reader, conductorone.as_ref());
    if reader.problems.is_empty() { Ok(settings) } else { Err(reader.problems) }
}

fn with_s3(changes: &[(&str, &str)]) -> Result<Option<Settings>, Vec<Problem>> {
    read(&[&S3, changes].concat())
}

/// The names of what is wrong.
fn wrong(settings: Result<Option<Settings>, Vec<Problem>>) -> Vec<&'static str> {
    settings.unwrap_err().iter().map(|problem| problem.name).collect()
}

#[test]
fn nothing_is_pushed_unless_it_is_asked_for() {
    assert_eq!(read(&[]).unwrap(), None);
    assert_eq!(wrong(read(&[("PUSH_FILE", "users.csv")])), ["PUSH_FILE"]);
}

#[test]
fn half_a_configuration_is_told_with_the_other_half() {
    for (name, value) in S3.into_iter().chain([("S3_KEY", "a/b"), ("S3_ENDPOINT", "https://s3.example.com")]) {
        let missing: Vec<_> = S3.iter().map(|(name, _)| *name).filter(|needed| *needed != name).collect();
        assert_eq!(wrong(read(&[(name, value)])), missing, "{name}");
    }
    assert_eq!(wrong(read(&[("C1_CONNECTOR_ID", "2abc")])), ["C1_APP_ID", "C1_CLIENT_ID"]);
    assert_eq!(wrong(with_s3(&[("AZURE_SAS_URL", SAS)])), ["AZURE_SAS_URL"]);
}

#[test]
fn everything_malformed_is_named_and_no_secret_shown() {
    let error = with_s3(&[
        ("PUSH_FILE", "users.xlsx"),
        ("S3_REGION", "Frankfurt am Main"),
        ("S3_BUCKET", "s3://governance"),
        ("S3_KEY", "a/../b"),
        ("S3_ADDRESSING", "dns"),
        ("S3_ENDPOINT", "http://s3.example.com"),
        ("S3_ACCESS_KEY_ID", "AKIA/x"),
        ("S3_SECRET_ACCESS_KEY", "hunter2 hunter2"),
    ]);
    let text = format!("{:?}", error.as_ref().unwrap_err());
    assert!(!text.contains("hunter2"), "{text}");
    let names = wrong(error);
    assert!(names.contains(&"PUSH_FILE") && names.contains(&"S3_REGION"), "{names:?}");
    for (name, value) in [
        ("S3_BUCKET", "s3://governance"),
        ("S3_KEY", "a/../b"),
        ("S3_KEY", "/sync.c1z"),
        ("S3_ADDRESSING", "dns"),
        ("S3_ENDPOINT", "http://s3.example.com"),
        ("S3_ACCESS_KEY_ID", "AKIA/x"),
        ("S3_SECRET_ACCESS_KEY", "hunter2 hunter2"),
    ] {
        assert_eq!(wrong(with_s3(&[(name, value)])), [name], "{value}");
    }
}

#[test]
fn s3_is_where_aws_has_it_unless_said_otherwise() {
    let s3 = |changes: &[(&str, &str)]| match with_s3(changes).unwrap().unwrap().store {
        Some(Store::S3(s3)) => (s3.endpoint, s3.addressing, s3.key),
        other => panic!("{other:?}"),
    };
    let aws = "https://s3.eu-central-1.amazonaws.com".to_owned();
    assert_eq!(s3(&[]), (aws.clone(), Addressing::Virtual, "sync.c1z".to_owned()));
    // What makes no host name of its own, as buckets from before 2018 may not.
    let (longest, longer) = ("b".repeat(63), "b".repeat(64));
    for (bucket, addressing) in [
        ("my.bucket", Addressing::Path),
        ("Governance", Addressing::Path),
        (longer.as_str(), Addressing::Path),
        (longest.as_str(), Addressing::Virtual),
    ] {
        assert_eq!(s3(&[("S3_BUCKET", bucket)]), (aws.clone(), addressing, "sync.c1z".to_owned()), "{bucket}");
    }
    let other = [("S3_ENDPOINT", "https://minio.example.com:9000/"), ("PUSH_FILE", "grants.csv")];
    assert_eq!(s3(&other), ("https://minio.example.com:9000".to_owned(), Addressing::Path, "grants.csv".to_owned()));
    assert_eq!(s3(&[("S3_REGION", "cn-north-1")]).0, "https://s3.cn-north-1.amazonaws.com.cn");
}

#[test]
fn a_sas_url_is_a_blobs_or_a_containers() {
    let azure = |url: &str| match read(&[("AZURE_SAS_URL", url), ("PUSH_FILE", "users.csv")]).unwrap().unwrap() {
        push if push.file == File::UsersCsv => match push.store {
            Some(Store::Azure(azure)) => azure,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let container = azure(SAS);
    assert_eq!(container.blob, "https://acme.blob.core.windows.net/governance/users.csv");
    assert_eq!(container.expires_at, Timestamp::parse("2027-01-01T00:00:00Z"));
    assert!(container.sas.expose().ends_with("&sig=c2VjcmV0"));
    let day = |day: &str| Timestamp::parse(day).unwrap();
    assert_eq!(container.expires_soon(day("2026-12-18")), None, "in two weeks");
    assert_eq!(container.expires_soon(day("2026-12-19")), container.expires_at);
    assert_eq!(container.expires_soon(day("2027-01-01")), None, "it has expired");
    assert!(!format!("{container:?}").contains("c2VjcmV0"));
    let blob =
        azure(&SAS.replace("governance?", "governance/cloudflare/all.csv?").replace("00:00:00Z&sv", "00:00Z&sv"));
    assert_eq!(blob.blob, "https://acme.blob.core.windows.net/governance/cloudflare/all.csv");
    assert_eq!(blob.expires_at, Timestamp::parse("2027-01-01T00:00:00Z"));
    let local = azure("http://127.0.0.1:10000/devstoreaccount1/governance?se=2027-01-01&sig=x");
    assert_eq!(local.blob, "http://127.0.0.1:10000/devstoreaccount1/governance/users.csv");
}

#[test]
fn a_sas_url_that_will_not_do_is_refused_without_showing_it() {
    for bad in [
        "acme.blob.core.windows.net/governance",
        &SAS.replace("https", "http"),
        &SAS.replace("/governance", ""),
        &SAS.replace("sig=", "not="),
        &SAS.replace("sp=cw", "sp=rl"),
        &SAS.replace("se=2027-01-01T00:00:00Z", "se=soon"),
    ] {
        let problems = read(&[("AZURE_SAS_URL", bad)]).unwrap_err();
        assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
        assert!(!format!("{problems:?}").contains("c2VjcmV0"), "{problems:?}");
    }
}

#[test]
fn a_connector_alone_is_enough() {
    let key = [("C1_CLIENT_ID", "otter@acme.conductor.one/pcc"), ("C1_CLIENT_SECRET", "secret")];
    let push = read(&[&key[..], &[("C1_APP_ID", "2app"), ("C1_CONNECTOR_ID", "2con")]].concat()).unwrap().unwrap();
    assert_eq!((push.store, push.connector.map(|connector| connector.app_id)), (None, Some("2app".to_owned())));
}
