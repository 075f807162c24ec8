// A call from a Next.js app, which also gives the token. Run it: `voxrelay serve --config examples/token-server/voxrelay.toml` in the root of
// the repository starts a relay; then, in this folder, `npm install`, `npm run build` and `npm start`, and open http://127.0.0.1:3000.

import { Conversation } from "./conversation.jsx";

/** The relay's address is read when the page is asked for, so that one build serves in every environment. */
export const dynamic = "force-dynamic";

export default function Page() {
  return <Conversation relay={process.env.RELAY ?? "http://127.0.0.1:8080"} />;
}
