import react from "@vitejs/plugin-react";

/** Where the relay listens: `cargo xtask demo` prints it. */
const relay = process.env.RELAY ?? "http://127.0.0.1:8080";

export default {
  plugins: [react()],
  // The dev server would move the package's module away from its other files; a build needs none of this.
  optimizeDeps: { exclude: ["voxrelay"] },
  // The package is linked from the repository here, where it finds no React beside it; one from npm needs none of this.
  resolve: { dedupe: ["react"] },
  // Also for `vite preview`.
  server: { proxy: { "/v1": { target: relay, ws: true }, "/dev": relay } },
};
