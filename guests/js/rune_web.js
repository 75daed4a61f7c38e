// What QuickJS lacks of the web and guests of wasi:mcp need: bytes from text and back. Imported before everything else.
globalThis.TextEncoder ??= class TextEncoder {
  encode(text = '') {
    const bytes = unescape(encodeURIComponent(String(text).toWellFormed?.() ?? String(text)));
    const found = new Uint8Array(bytes.length);
    for (let at = 0; at < bytes.length; at++) found[at] = bytes.charCodeAt(at);
    return found;
  }
};

globalThis.TextDecoder ??= class TextDecoder {
  decode(bytes = new Uint8Array()) {
    let text = '';
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return decodeURIComponent(escape(text));
  }
};
