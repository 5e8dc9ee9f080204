//! Sets of counters, declared once.

/// Declares a set of counters: field, name and documentation stand in one place.
macro_rules! counters {
    ($(#[$meta:meta])* $set:ident { $(#[doc = $doc:literal] $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $set { $(#[doc = $doc] pub $field: u64,)* }

        impl $set {
            /// Name, value and one sentence for the operator of each.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> + use<> {
                [$((stringify!($field), self.$field, $doc.trim_ascii()),)*].into_iter()
            }

            fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}
