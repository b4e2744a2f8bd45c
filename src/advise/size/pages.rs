//! Tuples laid on the pages of a B-tree, as its build does.

/// Bytes of a page.
const PAGE: f64 = 8_192.0;
/// Bytes of a page that tuples and their pointers may take: without its header and its special space.
const ROOM: u32 = 8_192 - 24 - 16;
/// Free bytes below which a leaf page is full: a fill factor of 90.
const LEAF_FULL: u32 = 8_192 / 10;
/// Share of an inner page that is filled.
const INNER_FILL: f64 = 0.7;
/// Bytes of a pointer to a tuple.
const POINTER: u32 = 4;
/// Bytes of a row's address.
const ADDRESS: u32 = 6;
/// Largest tuple that holds several addresses.
const LARGEST_SHARED: u32 = (8_192 / 10) / 8 * 8 - POINTER;
/// Tuples after which the rest is taken to be like them.
const FOLLOWED: usize = 60_000;

/// How many rows have the same key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Groups {
    /// One each, or tuples cannot be shared.
    Single,
    /// As in a sample that saw whole groups.
    Seen(Vec<u32>),
    /// By chance around a mean (Poisson, none of zero).
    Spread {
        /// Rows of a key.
        mean: f64,
    },
}

/// Bytes of a tuple whose columns take `data` bytes, without its pointer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a page, which no tuple exceeds"
)]
pub(super) fn tuple(data: f64, has_null: bool) -> u32 {
    let header: u32 = if has_null { 16 } else { 8 };
    (header + data.clamp(0.0, 8_000.0).ceil() as u32).next_multiple_of(8)
}

/// Bytes of an index over `rows` rows whose tuples are like `tuples`.
pub(super) fn bytes(rows: f64, tuples: &[u32], groups: &Groups) -> u64 {
    let tuples = if tuples.is_empty() { &[16][..] } else { tuples };
    let mut leaf = Leaf::default();
    let mut laid = 0.0;
    let mut chance = Chance(0x2545_F491_4F6C_DD1D);
    for step in 0..FOLLOWED {
        if laid >= rows || leaf.items >= FOLLOWED {
            break;
        }
        let tuple = tuples.get(step % tuples.len()).copied().unwrap_or(16);
        let group = match groups {
            Groups::Single => 1,
            Groups::Seen(counts) if counts.is_empty() => 1,
            Groups::Seen(counts) => counts.get(step % counts.len()).copied().unwrap_or(1),
            Groups::Spread { mean } => chance.group(*mean),
        };
        laid += leaf.group(tuple, f64::from(group).min(rows - laid));
    }
    let scale = (rows / f64::max(laid, 1.0)).max(1.0);
    let leaves = (leaf.pages() * scale).ceil().max(1.0);
    let mean: f64 = tuples.iter().map(|t| f64::from(*t)).sum::<f64>() / tuples.len() as f64;
    // A downlink has the key and, among equal keys, an address.
    let fan_out = f64::max(
        f64::from(ROOM) * INNER_FILL / (mean + f64::from(POINTER) + 4.0),
        2.0,
    );
    let (mut level, mut all) = (leaves, leaves + 1.0);
    while level > 1.0 {
        level = (level / fan_out).ceil();
        all += level;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "pages are counted in the range of u64"
    )]
    let bytes = (all * PAGE) as u64;
    bytes
}

/// The leaf level while it is filled.
#[derive(Default)]
struct Leaf {
    /// Pages that are full.
    full: f64,
    free: u32,
    on_page: u32,
    items: usize,
    last: u32,
    /// What the last tuple would lose if it became the page's upper bound.
    last_extra: u32,
}

impl Leaf {
    /// Lays down the tuples of `rows` rows with one key; gives how many rows were laid.
    fn group(&mut self, tuple: u32, rows: f64) -> f64 {
        let most = (LARGEST_SHARED / 8 * 8).saturating_sub(tuple) / ADDRESS;
        let mut left = rows.max(1.0);
        // A few thousand tuples of one key show what the rest will be.
        let mut laid = 0.0;
        while left >= 1.0 && self.items < FOLLOWED {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most `most`, which is a small u32"
            )]
            let taken = left.min(f64::from(most.max(1))) as u32;
            if taken > 1 {
                let size = (tuple + taken * ADDRESS).next_multiple_of(8);
                self.item(size, size - tuple);
            } else {
                self.item(tuple, 0);
            }
            left -= f64::from(taken);
            laid += f64::from(taken);
        }
        laid
    }

    fn item(&mut self, size: u32, extra: u32) {
        self.items += 1;
        if self.items == 1 {
            self.begin();
        }
        let is_full = self.free < size + POINTER + 8
            || (self.free + self.last_extra < LEAF_FULL && self.on_page > 1);
        if is_full {
            // The last tuple moves on, and its key stays behind as the page's upper bound.
            let (last, last_extra) = (self.last, self.last_extra);
            self.full += 1.0;
            self.begin();
            if self.on_page == 0 && last > 0 {
                self.put(last, last_extra);
            }
        }
        self.put(size, extra);
    }

    fn begin(&mut self) {
        self.free = ROOM - POINTER;
        self.on_page = 0;
    }

    fn put(&mut self, size: u32, extra: u32) {
        self.free = self.free.saturating_sub(size + POINTER);
        self.on_page += 1;
        self.last = size;
        self.last_extra = extra;
    }

    fn pages(&self) -> f64 {
        let used = f64::from(ROOM - self.free.min(ROOM)) / f64::from(ROOM - LEAF_FULL);
        self.full + used.min(1.0)
    }
}

/// Numbers that look like chance and are the same in each run (xorshift).
struct Chance(u64);

impl Chance {
    /// A number in 0..1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Rows of one key, at least 1, `mean` on average.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what a u32 holds"
    )]
    fn group(&mut self, mean: f64) -> u32 {
        let spread = if mean < 30.0 {
            // One is certain; the rest comes by chance.
            let (limit, mut product, mut count) = ((-(mean - 1.0).max(0.0)).exp(), 1.0, 0.0);
            loop {
                product *= self.next();
                if product <= limit {
                    break 1.0 + count;
                }
                count += 1.0;
            }
        } else {
            // Four evenly spread numbers are nearly normal, of variance 1/3.
            let sum: f64 = (0..4).map(|_| self.next() - 0.5).sum();
            mean + mean.sqrt() * sum * 3.0_f64.sqrt()
        };
        spread.clamp(1.0, 4e9).round() as u32
    }
}
