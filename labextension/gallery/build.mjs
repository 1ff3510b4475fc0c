// Builds every page of the gallery: views with sample data, to look at and to test without JupyterLab.
import { build } from 'esbuild';
import { readdirSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, 'dist');
const pages = readdirSync(here)
  .filter(name => name.endsWith('.page.tsx'))
  .map(name => name.slice(0, -'.page.tsx'.length));

mkdirSync(out, { recursive: true });
await build({
  entryPoints: pages.map(page => ({
    in: join(here, `${page}.page.tsx`),
    out: page
  })),
  outdir: out,
  bundle: true,
  format: 'iife',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'warning'
});
await build({
  entryPoints: [join(here, '../style/index.css')],
  outfile: join(out, 'index.css'),
  bundle: true,
  logLevel: 'warning'
});
for (const page of pages) {
  writeFileSync(
    join(out, `${page}.html`),
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${page}</title>` +
      '<link rel="stylesheet" href="index.css"><link rel="stylesheet" href="theme.css">' +
      `<body><main id="root"></main><script src="${page}.js"></script></body></html>`
  );
}
// JupyterLab's own colours: what a page of it defines, light by default, dark with the class.
writeFileSync(
  join(out, 'theme.css'),
  `body{margin:0;background:var(--jp-layout-color1,#fff)}
body.dark{--jp-layout-color0:#111;--jp-layout-color1:#212121;--jp-layout-color2:#303030;--jp-border-color2:#424242;
--jp-ui-font-color0:#fff;--jp-ui-font-color1:rgba(255,255,255,.87);--jp-ui-font-color2:rgba(255,255,255,.7);
--jp-brand-color1:#64b5f6;--jp-success-color1:#81c784;--jp-warn-color1:#ffb74d;--jp-error-color1:#ef9a9a}
`
);
