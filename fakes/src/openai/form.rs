//! Forms with files, as a transcription is asked for.

/// A field of a form.
pub(super) struct Field<'a> {
    pub(super) name: String,
    pub(super) is_file: bool,
    pub(super) value: &'a [u8],
}

/// The fields of a `multipart/form-data` body; `None` if it is none.
pub(super) fn fields<'a>(media_type: &str, body: &'a [u8]) -> Option<Vec<Field<'a>>> {
    let (kind, parameters) = media_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    let line = format!("--{}", boundary.trim_matches('"'));
    let end = format!("\r\n{line}");
    let mut rest = body.get(find(body, line.as_bytes())? + line.len()..)?;
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head_end = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..head_end]);
        let content = &part[head_end + 4..];
        let length = find(content, end.as_bytes())?;
        let name = parameter(&head, "name")?;
        fields.push(Field {
            name,
            is_file: parameter(&head, "filename").is_some(),
            value: &content[..length],
        });
        rest = &content[length + end.len()..];
    }
    Some(fields)
}

/// A quoted parameter of `content-disposition`.
fn parameter(head: &str, name: &str) -> Option<String> {
    let begin = format!("; {name}=\"");
    let (_, rest) = head.split_once(&begin)?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

fn find(body: &[u8], wanted: &[u8]) -> Option<usize> {
    body.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--xx\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRI\r\n\xff\r\n--xx--\r\n";

    #[test]
    fn a_form_has_its_fields_byte_for_byte() {
        let fields = fields("multipart/form-data; boundary=xx", BODY).expect("a form");
        let told: Vec<_> =
            fields.iter().map(|field| (field.name.as_str(), field.is_file, field.value)).collect();
        assert_eq!(told, [("model", false, &b"whisper-1"[..]), ("file", true, b"RI\r\n\xff")]);
    }

    #[test]
    fn what_is_no_form_or_is_cut_off_is_refused() {
        assert!(fields("application/json", b"{}").is_none());
        assert!(fields("multipart/form-data; boundary=xx", &BODY[..100]).is_none());
    }
}
