/**
 * The two documents of the API, as far as the page reads them.
 *
 * @module
 */
import type { Schema } from "./schema.ts";

/** A channel, as the AsyncAPI document describes it. */
export interface ChannelRow {
  readonly summary: string;
  readonly aliases: readonly string[];
  readonly read: string;
  readonly publish: string;
  readonly retention: string;
  readonly messages: readonly string[];
}

/** A refusal, as the AsyncAPI document describes it. */
export interface RefusalRow {
  readonly text: string;
  readonly http: number;
  readonly close: number;
}

/** A reference to a component. */
export interface Ref {
  readonly $ref: string;
}

/** A message of the AsyncAPI document. */
export interface Message {
  readonly name: string;
  readonly summary: string;
  readonly payload: Schema;
  readonly examples: readonly { readonly payload: unknown }[];
}

/** Something a client may send or receive. */
export interface Operation {
  readonly action: "send" | "receive";
  readonly title: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly { readonly name: string }[];
  readonly messages: readonly Ref[];
  readonly reply?: { readonly messages: readonly Ref[] };
}

/** The part of AsyncAPI that is read. */
export interface AsyncDocument {
  readonly info: { readonly version: string; readonly description: string };
  readonly operations: Readonly<Record<string, Operation>>;
  readonly components: {
    readonly messages: Readonly<Record<string, Message>>;
    readonly schemas?: Readonly<Record<string, Schema>>;
  };
  readonly "x-channels": Readonly<Record<string, ChannelRow>>;
  readonly "x-refusals": Readonly<Record<string, RefusalRow>>;
}

/** A body of the OpenAPI document. */
export interface Media {
  readonly schema?: Schema;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

/** A method of a path. */
export interface HttpOperation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly "x-role"?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly description: string;
    readonly required: boolean;
    readonly schema: Schema;
    readonly example?: unknown;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<
    Record<string, {
      readonly description: string;
      readonly content?: Readonly<Record<string, Media>>;
    }>
  >;
}

/** The part of OpenAPI that is read. */
export interface OpenDocument {
  readonly tags: readonly {
    readonly name: string;
    readonly description: string;
  }[];
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, HttpOperation>>>
  >;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
