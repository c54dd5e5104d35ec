// How the pages are built: into the Python package, with hashed assets and nothing inline, so that the server's
// strict content security policy (script-src 'self') holds.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const SERVER = process.env.BRIDGE_DEV_SERVER ?? "http://127.0.0.1:8080";

const without = (name: string): string => fileURLToPath(new URL(`src/reading/drawing/without/${name}.ts`, import.meta.url));

export default defineConfig({
  base: "/",
  resolve: {
    alias: [
      { find: /^@kitware\/vtk\.js\/IO\/(Geometry|XML|Misc)\/.*$/, replacement: without("meshes") },
    ],
  },
  build: {
    outDir: "../bridge/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  // A worker loads its decoders one by one, as they are needed.
  worker: { format: "es" },
  server: {
    host: "127.0.0.1",
    proxy: {
      "/api": SERVER,
      "/healthz": SERVER,
      "/whip": SERVER,
      "/whep": SERVER,
      "/ws": { target: SERVER, ws: true },
    },
  },
  test: {
    include: ["tests/**/*.test.{ts,tsx}"],
    environment: "node",
    restoreMocks: true,
  },
});
