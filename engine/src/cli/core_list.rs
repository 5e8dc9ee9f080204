//! `--cores LIST`.

use std::str::FromStr;

/// Cores as `2,3` or `2-5` or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreList(pub(super) Vec<usize>);

impl FromStr for CoreList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.parse::<usize>()
                .ok()
                .filter(|core| *core < 4096)
                .ok_or(format!("`{part}` is no core number"))
        };
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            if from > to {
                return Err(format!("`{part}` runs backwards"));
            }
            cores.extend(from..=to);
        }
        let mut seen = cores.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < cores.len() {
            return Err("a core is named twice".to_owned());
        }
        Ok(Self(cores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches core lists read other than documented, and nonsense taken for cores.
    #[test]
    fn core_lists() {
        for (text, cores) in [
            ("2,3", vec![2, 3]),
            ("2-5", vec![2, 3, 4, 5]),
            ("0,4-5", vec![0, 4, 5]),
            ("7", vec![7]),
        ] {
            assert_eq!(text.parse::<CoreList>(), Ok(CoreList(cores)), "{text}");
        }
        for text in ["", "5-2", "1,1", "a", "1-", "99999"] {
            assert!(text.parse::<CoreList>().is_err(), "{text}");
        }
    }
}
