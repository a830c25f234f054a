/**
 * What applications use of the protocol besides its types: a builder for every
 * message type, and the checks of what they receive.
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
