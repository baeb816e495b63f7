//! Whom a client's certificate names, for who reads the log.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// How much of a name is kept, in bytes: a certificate has room for much more, and each line of the
/// log has its connection's.
const LONGEST: usize = 256;

/// The subject of a certificate in DER, as RFC 4514 writes it: `CN=client,O=Example`. Where that has
/// no common name, the first of its other names that is a URI, such as a SPIFFE ID, a host or a
/// mailbox: `URI:spiffe://example.org/client`. `None` if there is no name at all.
pub(super) fn name_of(certificate: &[u8]) -> Option<Box<str>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let certificate = certificate.tbs_certificate();
    let subject = certificate.subject();
    let has_common_name = matches!(subject.common_name(), Ok(Some(_)));
    let other = || {
        let (_, SubjectAltName(names)) = certificate.get_extension().ok()??;
        names.iter().find_map(shown)
    };
    let name = if has_common_name { None } else { other() };
    let name = name.unwrap_or_else(|| subject.to_string());
    (!name.is_empty()).then(|| cut(name).into())
}

/// As OpenSSL shows it; `None` for the kinds that name no one.
fn shown(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(format!("URI:{uri}")),
        GeneralName::DnsName(host) => Some(format!("DNS:{host}")),
        GeneralName::Rfc822Name(mailbox) => Some(format!("email:{mailbox}")),
        _ => None,
    }
}

fn cut(mut name: String) -> String {
    if name.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&end| name.is_char_boundary(end));
        name.truncate(end.unwrap_or(0));
        name.push('…');
    }
    name
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    /// Of a certificate with this subject and these other names.
    fn name(subject: &[(DnType, &str)], others: &[SanType]) -> Option<Box<str>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = others.to_vec();
        name_of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn it_is_the_subject_or_else_what_names_somebody() {
        let host = SanType::DnsName("client.example".try_into().unwrap());
        let uri = SanType::URI("spiffe://example.org/client".try_into().unwrap());
        let mailbox = SanType::Rfc822Name("me@example.org".try_into().unwrap());
        let address = SanType::IpAddress([192, 0, 2, 7].into());
        let organization = (DnType::OrganizationName, "Example, Inc.");
        let client = (DnType::CommonName, "client");
        for (subject, others, expected) in [
            (vec![client.clone()], vec![uri.clone()], Some("CN=client")),
            (vec![organization.clone(), client], vec![], Some("CN=client,O=Example\\, Inc.")),
            (
                vec![organization.clone()],
                vec![address.clone(), uri],
                Some("URI:spiffe://example.org/client"),
            ),
            (vec![], vec![host], Some("DNS:client.example")),
            (vec![], vec![mailbox], Some("email:me@example.org")),
            (vec![organization], vec![address.clone()], Some("O=Example\\, Inc.")),
            (vec![], vec![address], None),
        ] {
            assert_eq!(name(&subject, &others).as_deref(), expected);
        }
        assert_eq!(name_of(b"\x30\x00"), None);
    }

    #[test]
    fn a_long_one_is_cut_between_characters() {
        let name = name(&[(DnType::CommonName, &"ä".repeat(1000))], &[]).unwrap();
        assert_eq!(*name, format!("CN={}…", "ä".repeat(126)));
    }
}
