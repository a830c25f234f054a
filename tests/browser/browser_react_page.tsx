/**
 * A page of React components for a test in a browser. It gives the hook, which
 * it loads as the service serves it, the React that it brings itself.
 *
 * @module
 */
/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/// <reference lib="dom" />
import { StrictMode, useEffect, useState } from "react";
import type { ComponentType, ReactNode } from "react";
import { createRoot } from "react-dom/client";
import * as examples from "../../docs/examples/react.tsx";
import type { ExampleProps } from "../../docs/examples/react.tsx";
import { useWebSocket } from "../../client/react.ts";
import type { Options } from "../../client/react.ts";
import {
  buildAlertTriggeredMessage,
  buildNewBlockMessage,
  buildValidatorEventMessage,
  validateMessagePayload,
  validateWebSocketMessage,
} from "../../protocol/mod.ts";

export {
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";

/** What the test looks at. */
const seen = {
  /** Handler calls, each with the block's height. */
  heights: [] as number[],
  /** Runs of the effect that subscribes. */
  effects: 0,
  /** High latencies that were noticed. */
  slow: 0,
  /** Whether each built message was valid. */
  valid: [] as boolean[],
  /** Channels that took built messages. */
  accepted: [] as string[],
};

function Blocks({ options = {} }: ExampleProps): ReactNode {
  const { state, subscribe, joinChannel, leaveChannel } = useWebSocket(options);
  useEffect(() => {
    seen.effects++;
    return subscribe("NEW_BLOCK", ({ payload }) => {
      seen.heights.push(payload.height);
    });
  }, [subscribe]);
  useEffect(() => {
    if (state.isConnected) joinChannel("blocks");
    return () => leaveChannel("blocks");
  }, [state.isConnected, joinChannel, leaveChannel]);
  return <b>{state.channels["blocks"]?.status ?? state.status}</b>;
}

/** The reference's latency monitor, and the cleanup that it asks for. */
function Latency({ options = {} }: ExampleProps): ReactNode {
  const { state, subscribe } = useWebSocket(options);
  useEffect(() => {
    if (state.messageLatency !== null && state.messageLatency > 100) {
      seen.slow++;
    }
  }, [state.messageLatency]);
  useEffect(() => {
    const unsubscribe = subscribe("NEW_BLOCK", () => {});
    return () => unsubscribe(); // Important!
  }, [subscribe]);
  return <i>{typeof state.messageLatency}</i>;
}

/** The reference's builders, and its batch of them. */
function Builders({ options = {} }: ExampleProps): ReactNode {
  const { state, sendMessage } = useWebSocket(options);
  const send = async () => {
    const blockMessage = buildNewBlockMessage({
      blockId: "block_123",
      height: 15420,
      hash: "0x123...abc",
    });
    const validatorMessage = buildValidatorEventMessage({
      eventType: "JOINED",
      validatorId: "validator_123",
      stake: "1000000",
    });
    const alertMessage = buildAlertTriggeredMessage({
      type: "node_failure",
      severity: "critical",
      message: "Node failure detected",
    });
    const all = [blockMessage, validatorMessage, alertMessage];
    for (const message of all) {
      seen.valid.push(
        validateWebSocketMessage(message) &&
          validateMessagePayload(message.type, message.payload),
      );
    }
    const { accepted } = await sendMessage({
      type: "BATCH_UPDATE",
      payload: { updates: all },
    });
    seen.accepted.push(...accepted.map(({ channel }) => channel));
  };
  return (
    <button type="button" disabled={!state.isConnected} onClick={send}>
      Publish
    </button>
  );
}

/** The reference's client authentication, with a header of its own. */
function Authentication({ options = {} }: ExampleProps): ReactNode {
  const { state } = useWebSocket({
    ...options,
    auth: {
      ...options.auth!,
      headers: { "X-Custom-Header": "value" },
    },
  });
  return <em>{state.identity?.user}</em>;
}

/** The reference's client-side optimization: own channels and types are refused. */
function Optimized({ options = {} }: ExampleProps): ReactNode {
  const { state, sendMessage, joinChannel, leaveChannel } = useWebSocket({
    ...options,
    enableThrottle: true,
    throttleTime: 200,
  });
  const [code, setCode] = useState("");
  const isVisible = true;
  useEffect(() => {
    if (isVisible) {
      joinChannel("updates" as string);
    } else {
      leaveChannel("updates" as string);
    }
  }, [isVisible, joinChannel, leaveChannel]);
  const send = () => {
    const updates = [{ a: 1 }, { a: 2 }];
    const batchedUpdates = updates.map((update) => ({
      type: "UPDATE",
      payload: update,
    }));
    sendMessage({
      type: "BATCH_UPDATE",
      payload: { updates: batchedUpdates as never },
    }).catch((error) => setCode(error.code));
  };
  return (
    <>
      <u>{state.channels["updates"]?.code}</u>
      <button type="button" onClick={send}>Batch</button>
      <s>{code}</s>
    </>
  );
}

const components: Readonly<Record<string, ComponentType<ExampleProps>>> = {
  Authentication,
  Blocks,
  Builders,
  Latency,
  Optimized,
  ...examples,
};
const root = createRoot(document.getElementById("root")!);

Object.assign(globalThis, {
  seen,
  show(names: readonly string[], options: Options): void {
    root.render(
      <StrictMode>
        {names.map((name, key) => {
          const Chosen = components[name]!;
          return <Chosen key={key} options={options} />;
        })}
      </StrictMode>,
    );
  },
});
