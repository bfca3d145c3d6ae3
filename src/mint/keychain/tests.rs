//! The keychain: golden vectors, seed files, seals.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const NPUB: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";

fn counting() -> Keychain {
    Keychain::from_seed(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn saga() -> SagaId {
    SagaId::new("01920000-0000-7000-8000-000000000001")
}

// The expected values were computed independently, from RFC 5869 with Python's hmac. If one of
// these tests fails, every stored coin would become unspendable: mend the code, not the value.

#[test]
fn the_wallet_seed_never_changes() {
    let seed = counting().wallet_seed(NPUB, "https://mint.example.com", "sat");
    assert_eq!(
        hex::encode(seed.as_slice()),
        "74862ef4c69787f94a68a26dd9dc8001fa5abd08879e9aec65d61c976137dca8\
         4759908a2171a261e629aaf09a9a9b766e0258a5957f7d33f1052a0fac8c4a06"
    );
}

#[test]
fn the_sealing_key_never_changes() {
    let key: Zeroizing<[u8; 32]> = counting().derive(&[SEAL_LABEL.as_bytes()]);
    assert_eq!(
        hex::encode(key.as_slice()),
        "67712e78d4591b35c3854ee9bb83286439e5713ba5aac16fde2f25c184a7a70f"
    );
}

#[test]
fn the_quote_key_never_changes() {
    let key = counting().quote_key(&saga()).unwrap();
    assert_eq!(
        key.to_secret_hex(),
        "6d534b0b91697b03dc94a337eb5bb41f6589e2b4df697f8fba9e44cec0e8bdd2"
    );
}

#[test]
fn the_heads_key_never_changes() {
    use crate::ports::Notary;
    let key = counting().heads_key().unwrap();
    assert_eq!(
        key.key(),
        "0073582844c791b1ce6779c6d77dbe6136fa83973dda013144df10a4968b8a5e"
    );
}

#[test]
fn a_signature_is_for_one_text_and_one_key() {
    use crate::ports::Notary;
    let key = counting().heads_key().unwrap();
    let signature = key.sign("a").unwrap();
    assert!(check_heads_signature(&key.key(), "a", &signature));
    assert!(!check_heads_signature(&key.key(), "b", &signature));
    let other = Keychain::from_seed([1; 64]).heads_key().unwrap();
    assert!(!check_heads_signature(&other.key(), "a", &signature));
    assert!(!check_heads_signature("nonsense", "a", &signature));
    assert!(!check_heads_signature(&key.key(), "a", "nonsense"));
    assert_eq!(format!("{key:?}"), format!("HeadsKey({})", key.key()));
}

#[test]
fn moving_a_border_between_fields_changes_the_seed() {
    let chain = counting();
    let seed = |npub, url, unit| *chain.wallet_seed(npub, url, unit);
    let seeds = [
        seed("ab", "c", "sat"),
        seed("a", "bc", "sat"),
        seed("ab", "cs", "at"),
        seed("ab", "c", "usd"),
        seed("", "abc", "sat"),
    ];
    for (i, a) in seeds.iter().enumerate() {
        assert!(seeds.iter().skip(i + 1).all(|b| a != b));
    }
}

#[test]
fn sealed_text_opens_only_for_its_own_row_and_seed() {
    let chain = counting();
    let sealed = chain.seal("sagas", &saga(), b"[proofs]").unwrap();
    assert!(sealed.starts_with("v1:"));
    assert_ne!(sealed, chain.seal("sagas", &saga(), b"[proofs]").unwrap());
    let opened = chain.open("sagas", &saga(), &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"[proofs]");

    let other = SagaId::new("01920000-0000-7000-8000-000000000002");
    assert_eq!(chain.open("sagas", &other, &sealed), Err(SealError::Open));
    assert_eq!(chain.open("saga", &saga(), &sealed), Err(SealError::Open));
    let stranger = Keychain::from_seed([1; 64]);
    assert_eq!(
        stranger.open("sagas", &saga(), &sealed),
        Err(SealError::Open)
    );
    let mut changed = sealed.clone();
    changed.pop();
    changed.push(if sealed.ends_with('0') { '1' } else { '0' });
    for text in ["", "v1:", "v1:00", "v2:00", "nonsense", &changed] {
        assert_eq!(chain.open("sagas", &saga(), text), Err(SealError::Open));
    }
}

#[test]
fn text_that_was_sealed_once_opens_for_ever() {
    const SEALED: &str = "v1:b141f25c851013f1c9349275fc652dab4ea9fac583c90baac6ef3ef2e\
        b7e2247e905c2b9218d3856ad6c97a1e94d71e6";
    let opened = counting().open("sagas", &saga(), SEALED).unwrap();
    assert_eq!(opened.as_slice(), b"[proofs]");
}

#[test]
fn debug_prints_nothing_secret() {
    let text = format!("{:?}", Keychain::from_seed([0xab; 64]));
    assert_eq!(text, "Keychain(…)");
}

#[test]
fn the_seed_file_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed");
    let made = Keychain::load_or_create(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), 129);
    assert!(text.ends_with('\n'));
    assert_eq!(text.trim_end(), hex::encode(made.master.as_slice()));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no draft is left"
    );

    let read = Keychain::load_or_create(&path).unwrap();
    assert_eq!(*read.master, *made.master);
    let other = Keychain::load_or_create(&folder.path().join("other")).unwrap();
    assert_ne!(*other.master, *made.master);
}

#[test]
fn many_at_once_end_with_one_seed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed");
    let start = std::sync::Barrier::new(8);
    let seeds: Vec<_> = std::thread::scope(|scope| {
        let race = || {
            start.wait();
            *Keychain::load_or_create(&path).unwrap().master
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(seeds.iter().all(|seed| seed == &seeds[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed");
    Keychain::load_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o622, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Keychain::load_or_create(&path).unwrap_err();
        assert_eq!(error.code, Code::SeedFileMode);
        let chmod = format!("chmod 600 {}", path.display());
        assert!(error.message.contains(&chmod), "{}", error.message);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Keychain::load_or_create(&path).is_ok());
}

#[test]
fn a_damaged_file_is_refused_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed");
    let digits = "ab".repeat(64);
    let wrong = [
        String::new(),
        "ab".repeat(63),
        "ab".repeat(65),
        format!("{digits}\n\n"),
        format!(" {digits}"),
        "zz".repeat(64),
        "ab".repeat(4000),
    ];
    for text in wrong {
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Keychain::load_or_create(&path).unwrap_err();
        assert_eq!(error.code, Code::SeedFileInvalid, "{text:?}");
        assert!(!error.message.contains("abab"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    for text in [
        digits.clone(),
        format!("{digits}\n"),
        format!("{digits}\r\n"),
    ] {
        fs::write(&path, text).unwrap();
        assert!(Keychain::load_or_create(&path).is_ok());
    }
}

#[test]
fn a_missing_folder_is_an_error_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no").join("seed");
    let error = Keychain::load_or_create(&path).unwrap_err();
    assert_eq!(error.code, Code::ConfigInvalid);
    assert!(error.message.contains("seed"));
    let error = Keychain::load_or_create(folder.path()).unwrap_err();
    assert_eq!(error.code, Code::SeedFileInvalid);
}
