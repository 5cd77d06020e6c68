/** Light, dark, or as the system has it; remembered in this browser. */
export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const place = 'muster.theme';

export function rememberedTheme(): Theme {
  const kept = readKept();
  return themes.find((theme) => theme === kept) ?? 'system';
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(place, theme);
  } catch {
    // A browser that keeps nothing shows the theme for this visit.
  }
}

export const nextTheme = (theme: Theme): Theme => themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system';

function readKept(): string | null {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}
