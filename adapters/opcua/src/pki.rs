//! Own certificate and key, and the folders of trusted and rejected peers; used by client and server alike.
//!
//! async-opcua writes its own key readable for everybody and keeps every rejected certificate for ever; this file makes the key
//! with mode 0600 first and caps the rejected folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use opcua::crypto::{CertificateStore, X509, X509Data};
use opcua::types::{ApplicationDescription, LocalizedText};

/// Certificates kept in `rejected/`; older ones are removed. A scanner that connects with fresh certificates fills no disk.
pub const REJECTED_MAX: usize = 50;
/// Validity of a certificate made here: ten years, the life of a control system.
const VALID_DAYS: u32 = 3_650;
/// 2048 bits: the smallest that every offered policy accepts.
const KEY_BITS: u32 = 2_048;

/// A folder with `own/cert.der`, `private/private.pem`, `trusted/`, `rejected/`.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The folder.
    pub folder: PathBuf,
}

impl Pki {
    /// Own certificate, DER, below the folder.
    pub const CERTIFICATE: &str = "own/cert.der";
    /// Own private key, PEM, below the folder.
    pub const PRIVATE_KEY: &str = "private/private.pem";

    /// Opens the folder; makes it, and a self-signed certificate naming `application_uri`, this machine's names and addresses,
    /// and `hosts`, when there is none.
    ///
    /// # Errors
    /// A sentence with the path when a folder or file cannot be made.
    pub fn open(folder: &Path, application: &str, application_uri: &str, hosts: &[String]) -> Result<Self, String> {
        let pki = Self { folder: folder.to_owned() };
        for sub in ["own", "private", "trusted", "rejected"] {
            let path = folder.join(sub);
            fs::create_dir_all(&path).map_err(|e| cannot("make folder", &path, &e))?;
        }
        private(&folder.join("private"), 0o700)?;
        let key = pki.private_key();
        if pki.certificate().exists() && key.exists() {
            private(&key, 0o600)?;
            return Ok(pki);
        }
        // The file gets its mode while it is still empty; the key is then written into it.
        fs::write(&key, b"").map_err(|e| cannot("write", &key, &e))?;
        private(&key, 0o600)?;
        let data = certificate_data(application, application_uri, hosts);
        CertificateStore::create_certificate_and_key(&data, true, &pki.certificate(), &key)
            .map_err(|e| format!("cannot make the certificate {}: {e}", pki.certificate().display()))?;
        Ok(pki)
    }

    /// Path of the own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(Self::CERTIFICATE)
    }

    /// Path of the own private key.
    #[must_use]
    pub fn private_key(&self) -> PathBuf {
        self.folder.join(Self::PRIVATE_KEY)
    }

    /// Folder of trusted peers.
    #[must_use]
    pub fn trusted(&self) -> PathBuf {
        self.folder.join("trusted")
    }

    /// Folder of rejected peers.
    #[must_use]
    pub fn rejected(&self) -> PathBuf {
        self.folder.join("rejected")
    }

    /// Name under which a peer's certificate lies in `trusted/` or `rejected/`.
    #[must_use]
    pub fn file_name(certificate: &X509) -> String {
        CertificateStore::cert_file_name(certificate)
    }

    /// Trusts the certificate in a file: copies it into `trusted/` under its proper name, removes it from `rejected/`.
    ///
    /// # Errors
    /// A sentence with the path when the file is no certificate or cannot be copied.
    pub fn trust(&self, file: &Path) -> Result<PathBuf, String> {
        let bytes = fs::read(file).map_err(|e| cannot("read", file, &e))?;
        let certificate = X509::from_der(&bytes).map_err(|_| format!("{} is no DER certificate", file.display()))?;
        let name = Self::file_name(&certificate);
        let target = self.trusted().join(&name);
        fs::write(&target, &bytes).map_err(|e| cannot("write", &target, &e))?;
        let rejected = self.rejected().join(&name);
        if rejected.exists() {
            fs::remove_file(&rejected).map_err(|e| cannot("remove", &rejected, &e))?;
        }
        Ok(target)
    }

    /// Removes the oldest rejected certificates beyond [`REJECTED_MAX`]; returns how many.
    pub fn prune_rejected(&self) -> usize {
        let Ok(entries) = fs::read_dir(self.rejected()) else { return 0 };
        let mut files: Vec<_> =
            entries.flatten().filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).collect();
        files.sort();
        let excess = files.len().saturating_sub(REJECTED_MAX);
        files.iter().take(excess).filter(|(_, path)| fs::remove_file(path).is_ok()).count()
    }
}

/// Names and addresses under which this machine may be asked for.
fn certificate_data(application: &str, application_uri: &str, hosts: &[String]) -> X509Data {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    for host in X509Data::computer_hostnames().iter().chain(hosts) {
        let unspecified = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if host.is_empty() || unspecified {
            continue;
        }
        names.insert(host.clone());
        if let Ok(addresses) = (host.as_str(), 0u16).to_socket_addrs() {
            names.extend(addresses.map(|a| a.ip().to_string()));
        }
    }
    let names: Vec<String> = names.into_iter().collect();
    let description = ApplicationDescription {
        application_uri: application_uri.into(),
        application_name: LocalizedText::new("", application),
        ..Default::default()
    };
    X509Data {
        key_size: KEY_BITS,
        certificate_duration_days: VALID_DAYS,
        alt_host_names: X509Data::alt_host_names(application_uri, Some(names), false, false, false),
        ..X509Data::from((description, None))
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "cannot {what} {}: {error}; the folder must be writable for the user that runs this program",
        path.display()
    )
}

#[cfg(unix)]
fn private(path: &Path, mode: u32) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| cannot("protect", path, &e))
}

#[cfg(not(unix))]
fn private(_path: &Path, _mode: u32) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn private_key_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("folder");
        let pki = Pki::open(dir.path(), "test", "urn:test", &["plc.example".into()]).expect("pki");
        let mode = fs::metadata(pki.private_key()).expect("key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = fs::read(pki.certificate()).expect("certificate");
        let certificate = X509::from_der(&first).expect("certificate parses");
        for name in ["localhost", "127.0.0.1", "plc.example"] {
            assert!(certificate.is_hostname_valid(name).is_ok(), "{name} is missing in the certificate");
        }
        assert!(certificate.is_application_uri_valid("urn:test").is_ok());
        // A second start keeps the certificate, and mends the mode of a key that somebody opened.
        fs::set_permissions(pki.private_key(), fs::Permissions::from_mode(0o644)).expect("chmod");
        let again = Pki::open(dir.path(), "test", "urn:test", &[]).expect("pki");
        assert_eq!(fs::read(again.certificate()).expect("certificate"), first);
        assert_eq!(fs::metadata(again.private_key()).expect("key").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn rejected_certificates_do_not_fill_the_disk() {
        let dir = tempfile::tempdir().expect("folder");
        let pki = Pki::open(dir.path(), "test", "urn:test", &[]).expect("pki");
        for i in 0..REJECTED_MAX + 7 {
            fs::write(pki.rejected().join(format!("{i}.der")), b"x").expect("write");
        }
        assert_eq!(pki.prune_rejected(), 7);
        assert_eq!(fs::read_dir(pki.rejected()).expect("folder").count(), REJECTED_MAX);
    }
}
