/**
 * A page of React components for a test in a browser. It gives the hook, which
 * it loads as the service serves it, the React that it brings itself.
 *
 * @module
 */
/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/// <reference lib="dom" />
import { StrictMode, useEffect } from "react";
import type { ComponentType, ReactNode } from "react";
import { createRoot } from "react-dom/client";
import * as examples from "../../docs/examples/react.tsx";
import type { ExampleProps } from "../../docs/examples/react.tsx";
import { useWebSocket } from "../../client/react.ts";
import type { Options } from "../../client/react.ts";

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

const components: Readonly<Record<string, ComponentType<ExampleProps>>> = {
  Blocks,
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
