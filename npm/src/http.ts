// The file that is loaded where no WebSocket gets through. It imports nothing and exports nothing, so that a bundler may put it into any form.

import { type HttpScope, open } from "./http-socket.js";

(globalThis as HttpScope).voxrelayHttp = open;
