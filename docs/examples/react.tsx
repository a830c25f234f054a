/**
 * The hook in four components: first steps, all options, errors, and what to
 * watch for when channels come and go. Any bundler that knows JSX builds it.
 *
 * @module
 */
/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
import { useEffect, useState } from "react";
import type { ReactNode } from "react";
import { useWebSocket } from "../../client/react.ts";
import type { Options } from "../../client/react.ts";

/** Where to, for all examples. */
export interface ExampleProps {
  /** Options that an example leaves open. */
  readonly options?: Options;
}

/** Connects, joins two channels, sends a test message. */
export function Basic({ options }: ExampleProps): ReactNode {
  const [height, setHeight] = useState(0);
  const { state, sendMessage, subscribe, joinChannel } = useWebSocket({
    autoReconnect: true,
    enableThrottle: true,
    throttleTime: 100,
    ...options,
  });

  useEffect(() => {
    const unsubscribe = subscribe("NEW_BLOCK", (message) => {
      setHeight(message.payload.height);
    });

    return () => unsubscribe();
  }, [subscribe]);

  useEffect(() => {
    if (state.isConnected) {
      joinChannel("blocks");
      joinChannel("transactions");
    }
  }, [state.isConnected, joinChannel]);

  const handleSendTest = () => {
    sendMessage({
      type: "TEST",
      payload: { message: "Hello from client!" },
    });
  };

  return (
    <div>
      <div>Status: {state.isConnected ? "Connected" : "Disconnected"}</div>
      <div>Height: {height}</div>
      <button type="button" onClick={handleSendTest}>Send Test Message</button>
    </div>
  );
}

/** Every option of the connection. */
export function Advanced({ options }: ExampleProps): ReactNode {
  const { state } = useWebSocket({
    url: "wss://api.kaldrix.com/ws",
    autoReconnect: true,
    reconnectInterval: 5000,
    maxReconnectAttempts: 10,
    enableThrottle: true,
    throttleTime: 100,
    enableDebounce: true,
    debounceTime: 200,
    auth: {
      token: "your-jwt-token",
      headers: {
        "X-Client-Version": "1.0.0",
      },
    },
    ...options,
  });
  return <p>{state.identity?.user ?? "anonymous"}</p>;
}

/** Shows what went wrong and offers to try again. */
export function ErrorHandling({ options }: ExampleProps): ReactNode {
  const { state, connect, disconnect } = useWebSocket(options);
  const [notice, setNotice] = useState("");

  useEffect(() => {
    if (state.connectionError) {
      setNotice(`WebSocket error: ${state.connectionError.message}`);
    }
  }, [state.connectionError]);

  useEffect(() => {
    if (state.reconnectAttempts > 5) {
      setNotice("Multiple reconnection attempts failed");
    }
  }, [state.reconnectAttempts]);

  return (
    <div>
      <p role="alert">{notice}</p>
      <button type="button" onClick={connect}>Connect</button>
      <button type="button" onClick={disconnect}>Disconnect</button>
    </div>
  );
}

/** Joins only while mounted and connected; a loss costs no event. */
export function BestPractices({ options }: ExampleProps): ReactNode {
  const [heights, setHeights] = useState<readonly number[]>([]);
  const { state, subscribe, joinChannel, leaveChannel } = useWebSocket({
    enableThrottle: true,
    throttleTime: 100,
    ...options,
  });

  useEffect(() => {
    if (state.isConnected) {
      joinChannel("blocks");
      joinChannel("transactions");
    }

    return () => {
      leaveChannel("blocks");
      leaveChannel("transactions");
    };
  }, [state.isConnected, joinChannel, leaveChannel]);

  useEffect(() => {
    const unsubscribe = subscribe("NEW_BLOCK", (message) => {
      if (message.payload && typeof message.payload.height === "number") {
        setHeights((known) => [...known, message.payload.height].slice(-20));
      }
    });

    return () => unsubscribe();
  }, [subscribe]);

  return <p>{heights.join(" ")}</p>;
}
