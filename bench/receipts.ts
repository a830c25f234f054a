/**
 * What clients were given, read out of frames without parsing them: a load
 * generator that parses is the first to be saturated.
 *
 * @module
 */
import { Times } from "./histogram.ts";

const SEQ = '"seq":';
const EVENT_AT = '"eventAt":';
const ECHO_AT = '"echoAt":';
/** Digits of a time in epoch milliseconds, with its fraction, at most. */
const AT_LENGTH = 20;
/** Digits of a position, at most. */
const SEQ_LENGTH = 16;

/** One client's place in the channel. */
export interface Place {
  /** Last number given; 0 before the first. */
  seq: number;
  /** Events of the phase given. */
  count: number;
}

/** Counts what arrives, over all clients of one process. */
export class Receipts {
  /** From when an event was due until it came. */
  readonly events: Times = new Times();
  /** From when an echo was due to be asked until it came. */
  readonly echoes: Times = new Times();
  /** Events missing between two that came. */
  lost = 0;
  /** Events that came twice, or too late. */
  repeated = 0;
  #since = Infinity;

  /** Counts only what was due from `since` on, in epoch milliseconds. */
  begin(since: number): void {
    this.#since = since;
    this.events.reset();
    this.echoes.reset();
    this.lost = 0;
    this.repeated = 0;
  }

  /**
   * Takes one frame.
   *
   * @param text as it came, several events in it or one.
   * @param place of the client it came to.
   * @param now epoch milliseconds.
   */
  take(text: string, place: Place, now: number): void {
    let from = 0;
    for (;;) {
      const eventAt = text.indexOf(EVENT_AT, from);
      if (eventAt < 0) break;
      const seqAt = text.indexOf(SEQ, from);
      if (seqAt < 0 || seqAt > eventAt) break;
      this.#order(numberAt(text, seqAt + SEQ.length, SEQ_LENGTH), place);
      const due = numberAt(text, eventAt + EVENT_AT.length, AT_LENGTH);
      if (due >= this.#since) {
        place.count++;
        this.events.add(now - due);
      }
      from = eventAt + EVENT_AT.length;
    }
    if (from > 0) return;
    for (let at; (at = text.indexOf(ECHO_AT, from)) >= 0;) {
      const due = numberAt(text, at + ECHO_AT.length, AT_LENGTH);
      if (due >= this.#since) this.echoes.add(now - due);
      from = at + ECHO_AT.length;
    }
  }

  #order(seq: number, place: Place): void {
    if (seq <= place.seq) {
      this.repeated++;
      return;
    }
    if (place.seq > 0) this.lost += seq - place.seq - 1;
    place.seq = seq;
  }
}

function numberAt(text: string, from: number, length: number): number {
  return Number.parseFloat(text.slice(from, from + length));
}

/** Some 400 bytes of a block, so that events weigh what real ones do. */
const BLOCK = JSON.stringify({
  blockId: "block_bench",
  hash: `0x${"a1".repeat(32)}`,
  previousHash: `0x${"b2".repeat(32)}`,
  validator: "validator_1",
  signature: `0x${"c3".repeat(64)}`,
  gasUsed: 50_000,
  gasLimit: 100_000,
});

/**
 * Writes an event to publish.
 *
 * @param room canonical name of the channel.
 * @param at when it is due, in epoch milliseconds.
 * @param number names it.
 */
export function eventText(room: string, at: number, number: number): string {
  return `{"type":"ROOM_MESSAGE","channel":"${room}","id":"${room}-${number}",` +
    `"payload":{"event":"bench","data":${BLOCK},"eventAt":${at.toFixed(3)}}}`;
}

/** Writes a message that is echoed. */
export function echoText(at: number): string {
  return `{"type":"TEST","payload":{"echoAt":${at.toFixed(3)}}}`;
}
