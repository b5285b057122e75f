//! Which addresses a command may ever reach: public unicast ones, and ranges that the configuration names.
//!
//! IPv6 is judged by what is allowed (2000::/3 less its special parts), so a range that comes into use later is
//! refused until it is known; an IPv4 address in an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo) is always
//! refused, because what it reaches depends on the network around.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// IPv4 that is not public, or is something special.
const SPECIAL_V4: [([u8; 4], u8); 17] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // The agent of one cloud's hosts, metadata included, on an address that looks public.
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Parts of 2000::/3 that are not public: protocol assignments (Teredo, ORCHID, benchmarks), documentation, 6to4.
const SPECIAL_V6: [([u16; 8], u8); 5] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Returns whether an address is a public unicast one.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4
            .iter()
            .any(|(base, bits)| AddressRange::of(Ipv4Addr::from(*base).into(), *bits).contains(address.into())),
        IpAddr::V6(address) => {
            let is_global = address.segments().first().is_some_and(|first| first >> 13 == 1);
            let is_special = SPECIAL_V6
                .iter()
                .any(|(base, bits)| AddressRange::of(Ipv6Addr::from(*base).into(), *bits).contains(address.into()));
            is_global && !is_special
        }
    }
}

/// A range of addresses, like `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    bits: u8,
}

/// The text is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no range of addresses like 10.1.0.0/16 or fd00:12::/32, with all bits behind the prefix zero")]
pub struct RangeError;

impl AddressRange {
    fn of(base: IpAddr, bits: u8) -> Self {
        Self { base, bits }
    }

    /// Returns whether an address is in it. An IPv4 address is never in a range of IPv6, nor the other way.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (base, bits) = text.split_once('/').ok_or(RangeError)?;
        let base: IpAddr = base.parse().map_err(|_| RangeError)?;
        let bits: u8 = bits.parse().map_err(|_| RangeError)?;
        let has_rest = match base {
            IpAddr::V4(_) if bits > 32 => return Err(RangeError),
            IpAddr::V6(_) if bits > 128 => return Err(RangeError),
            IpAddr::V4(base) => base.to_bits().checked_shl(bits.into()).unwrap_or(0) != 0,
            IpAddr::V6(base) => base.to_bits().checked_shl(bits.into()).unwrap_or(0) != 0,
        };
        if has_rest {
            Err(RangeError)
        } else {
            Ok(Self { base, bits })
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "151.101.1.1",
            "168.63.129.17",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a04:4e42::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn everything_special_is_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn a_range_has_one_form_and_its_own_kind_of_address() {
        for text in [
            "10.1.0.0/16",
            "127.0.0.1/32",
            "0.0.0.0/0",
            "fd00:12::/32",
            "::1/128",
            "::/0",
        ] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.1.0.0",
            "10.1.0.1/16",
            "10.0.0.0/33",
            "::1/127",
            "::/129",
            "a/8",
            "10.0.0.0/-1",
            "0.0.0.1/0",
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(RangeError), "{text}");
        }
        let range: AddressRange = "127.0.0.0/8".parse().unwrap();
        assert!(range.contains(address("127.3.2.1")));
        assert!(!range.contains(address("128.0.0.0")));
        assert!(!range.contains(address("::ffff:127.0.0.1")));
        assert!("::/0".parse::<AddressRange>().unwrap().contains(address("::1")));
    }

    proptest! {
        #[test]
        fn the_standard_library_calls_no_public_address_special(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            let is_special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_broadcast() || address.is_documentation() || address.is_multicast()
                || address.is_unspecified();
            prop_assert!(!(is_special && is_public(address.into())), "{}", address);
        }

        #[test]
        fn no_form_of_an_ipv4_address_in_an_ipv6_one_is_public(bits in any::<u32>(), rest in any::<u64>()) {
            let address = Ipv4Addr::from(bits);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            let teredo = u128::from(rest) | (0x2001_0000_u128 << 96) | (u128::from(bits) << 64);
            for inside in [
                address.to_ipv6_mapped(),
                address.to_ipv6_compatible(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::from(teredo),
            ] {
                prop_assert!(!is_public(inside.into()), "{}", inside);
            }
        }

        #[test]
        fn a_range_has_what_begins_like_it(bits in any::<u128>(), length in 0..=128_u8, other in any::<u128>()) {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            let range: AddressRange = format!("{}/{length}", Ipv6Addr::from(bits & mask)).parse().unwrap();
            let is_inside = (bits ^ other) & mask == 0;
            prop_assert_eq!(range.contains(Ipv6Addr::from(other).into()), is_inside);
            prop_assert!(range.contains(Ipv6Addr::from(bits).into()));
        }
    }
}
