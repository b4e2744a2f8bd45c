//! Remote-write requests, made by hand.

/// Appends a field that holds bytes.
pub(crate) fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// One series of a request.
pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut one = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut one, 1, &label);
    }
    for (at, value) in samples {
        let mut sample = vec![0x09];
        sample.extend_from_slice(&value.to_bits().to_le_bytes());
        sample.push(0x10);
        varint(&mut sample, at.cast_unsigned());
        field(&mut one, 2, &sample);
    }
    one
}

/// A request of these series, packed.
pub(crate) fn request(all: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    for one in all {
        field(&mut request, 1, one);
    }
    packed(&request)
}

/// Bytes in snappy's block format.
pub(crate) fn packed(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}
