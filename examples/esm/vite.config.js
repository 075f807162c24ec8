// The dev server would move the package's script away from its Worker, worklet and wasm; a build needs none of this.
export default { optimizeDeps: { exclude: ["voxrelay"] } };
