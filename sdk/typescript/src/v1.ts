/** The generated messages and the service of `backspace.v1`. */
export * from "./generated/backspace/v1/agent_service_pb.js";
export * from "./generated/backspace/v1/event_pb.js";
export * from "./generated/backspace/v1/task_pb.js";
