/**
 * A strict reader of JSON texts: what JSON.parse hides is a fault here. It takes what RFC 7493 (I-JSON) allows: no duplicate names, no
 * lone surrogates. Numbers are kept as they are written, because JSON.parse turns 72.00000000000000001 into 72.
 */
export type JsonFaultCode =
  'payload_not_json' | 'payload_not_finite' | 'payload_duplicate_names' | 'payload_lone_surrogate' | 'payload_too_deep';

export type JsonValue =
  | { kind: 'object'; members: ReadonlyMap<string, JsonValue> }
  | { kind: 'number'; literal: string }
  | { kind: 'string'; value: string }
  | { kind: 'array' | 'boolean' | 'null' };

export type JsonReading = { ok: true; value: JsonValue } | { ok: false; code: JsonFaultCode; detail: string };

/** Arrays and objects within each other. */
const DEPTH_MAX = 32;

class JsonFault extends Error {
  readonly code: JsonFaultCode;
  constructor(code: JsonFaultCode, detail: string) {
    super(detail);
    this.code = code;
  }
}

class JsonScanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return value;
  }

  #unexpected(): JsonFault {
    const found = this.#text.slice(this.#at, this.#at + 1);
    return new JsonFault('payload_not_json', found === '' ? 'ends too early' : `unexpected character at position ${this.#at}`);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #skipSpace(): void {
    this.#match(/[ \t\n\r]*/y);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #value(depth: number): JsonValue {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth + 1);
      case '[':
        return this.#array(depth + 1);
      case '"':
        return { kind: 'string', value: this.#string() };
      default:
        return this.#literal();
    }
  }

  #literal(): JsonValue {
    // What Python's json.dumps and others write for floats that JSON cannot hold.
    if (this.#match(/-?(?:NaN|Infinity|nan|inf)\b/y) !== undefined)
      throw new JsonFault('payload_not_finite', 'NaN and Infinity are not JSON');
    const literal = this.#match(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    if (literal !== undefined) return { kind: 'number', literal };
    if (this.#match(/(?:true|false)\b/y) !== undefined) return { kind: 'boolean' };
    if (this.#match(/null\b/y) !== undefined) return { kind: 'null' };
    throw this.#unexpected();
  }

  #string(): string {
    const from = this.#at;
    this.#at += 1;
    for (;;) {
      // C1 control characters may stand in a JSON string as they are, C0 may not.
      this.#match(/[^"\\\p{Cc}]*/uy);
      if (this.#match(/[\u007f-\u009f]+/y) !== undefined) continue;
      if (this.#take('"')) break;
      if (this.#match(/\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y) === undefined) throw this.#unexpected();
    }
    const token = this.#text.slice(from, this.#at);
    const value = token.includes('\\') ? String(JSON.parse(token)) : token.slice(1, -1);
    if (/\p{Surrogate}/u.test(value)) throw new JsonFault('payload_lone_surrogate', 'a string holds half of a surrogate pair');
    return value;
  }

  #enter(depth: number): void {
    if (depth > DEPTH_MAX) throw new JsonFault('payload_too_deep', `more than ${DEPTH_MAX} levels`);
    this.#at += 1;
    this.#skipSpace();
  }

  #array(depth: number): JsonValue {
    this.#enter(depth);
    if (this.#take(']')) return { kind: 'array' };
    for (;;) {
      this.#value(depth);
      this.#skipSpace();
      if (this.#take(']')) return { kind: 'array' };
      if (!this.#take(',')) throw this.#unexpected();
    }
  }

  #object(depth: number): JsonValue {
    this.#enter(depth);
    const members = new Map<string, JsonValue>();
    if (this.#take('}')) return { kind: 'object', members };
    for (;;) {
      this.#skipSpace();
      if (this.#text[this.#at] !== '"') throw this.#unexpected();
      const name = this.#string();
      if (members.has(name))
        throw new JsonFault('payload_duplicate_names', `the name ${JSON.stringify(name.slice(0, 64))} is there twice`);
      this.#skipSpace();
      if (!this.#take(':')) throw this.#unexpected();
      members.set(name, this.#value(depth));
      this.#skipSpace();
      if (this.#take('}')) return { kind: 'object', members };
      if (!this.#take(',')) throw this.#unexpected();
    }
  }
}

/** Reads one JSON text; never throws. */
export function readJsonText(text: string): JsonReading {
  try {
    return { ok: true, value: new JsonScanner(text).read() };
  } catch (error) {
    if (error instanceof JsonFault) return { ok: false, code: error.code, detail: error.message };
    throw error;
  }
}
