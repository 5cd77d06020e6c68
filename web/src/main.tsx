import './schemas.ts';
import { createRoot } from 'react-dom/client';
import '@xterm/xterm/css/xterm.css';
import './design.css';
import './pages.css';
import { App } from './app.tsx';
import { LiveProvider, openLiveStore } from './live/store.tsx';
import { listenToKeys } from './parts/keys.tsx';
import { applyTheme, rememberedTheme } from './parts/theme.ts';
import { allowSpanStyles } from './terminal/document.ts';

allowSpanStyles();
applyTheme(rememberedTheme());
listenToKeys();

/** Lives as long as the page: the browser closes what it holds. */
const store = openLiveStore(location.origin);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') store.feed.wake();
});
window.addEventListener('online', () => store.feed.wake());

const root = document.querySelector('#root');
if (root !== null) {
  createRoot(root).render(
    <LiveProvider store={store}>
      <App />
    </LiveProvider>,
  );
}
