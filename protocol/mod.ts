/**
 * The protocol's functions for applications: a builder for every message type,
 * and the validation of received messages.
 *
 * @module
 */
export {
  buildAlertTriggeredMessage,
  buildBatchUpdateMessage,
  buildDagUpdateMessage,
  builders,
  buildNewBlockMessage,
  buildNodeStatusMessage,
  buildRoomMessage,
  buildTestMessage,
  buildTxReceivedMessage,
  buildValidatorEventMessage,
} from "./builders.ts";
export type {
  BatchMessage,
  Builder,
  BuildOptions,
  BuildPayload,
  BuiltMessage,
} from "./builders.ts";
export { VERSION } from "./envelope.ts";
export {
  validateMessagePayload,
  validateWebSocketMessage,
} from "./validate.ts";
